//! What tunnels are told that the server closes.

use std::borrow::Cow;

use crate::{
    config::DrainCode,
    tunnel::{Cause, registry::CloseOrder},
    websocket::CloseCode,
};

/// An order for each code that can be configured.
macro_rules! order {
    ($code:expr, $cause:expr, $reason:literal) => {{
        const fn with(code: CloseCode) -> CloseOrder {
            CloseOrder {
                cause: $cause,
                code,
                reason: Cow::Borrowed($reason),
            }
        }
        match $code {
            DrainCode::GoingAway => const { &with(CloseCode::GOING_AWAY) },
            DrainCode::ServiceRestart => const { &with(CloseCode::SERVICE_RESTART) },
        }
    }};
}

/// The process stops.
pub(super) fn stopping(code: DrainCode) -> &'static CloseOrder {
    order!(code, Cause::Shutdown, "proxy is stopping")
}

/// Another process has taken over, and the tunnel cannot go on there.
pub(super) fn upgrading(code: DrainCode) -> &'static CloseOrder {
    order!(code, Cause::Shutdown, "proxy is upgraded")
}

/// Its backend is to be rid of its tunnels.
pub(super) fn draining(code: DrainCode) -> &'static CloseOrder {
    order!(code, Cause::Draining, "backend is draining")
}

/// Its backend does not work.
pub(super) fn down(code: DrainCode) -> &'static CloseOrder {
    order!(code, Cause::Down, "backend is down")
}

/// Its backend, its pool or its route is not configured any more.
pub(super) fn removed(code: DrainCode) -> &'static CloseOrder {
    order!(code, Cause::Removed, "removed from the configuration")
}
