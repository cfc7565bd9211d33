//! Closing tunnels on an operator's behalf.

use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::{
    answer::{Answer, Wrong, json, refusal},
    api::{CloseOne, CloseSome, Closing},
    desk::Office,
};
use crate::{
    tunnel::{
        Cause,
        registry::{CloseOrder, Handle, Sketch},
    },
    websocket::CloseCode,
};

/// The most that a reason may have: a control frame has 125 bytes, and the code takes two of them
/// (RFC 6455, section 5.5).
const MAX_REASON: usize = 123;

/// The most that any length of time may be, as in the configuration.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// What tunnels are told by somebody who gives no reason.
const REASON: &str = "closed by the operator";

/// Closes the tunnel with that number.
pub(super) fn one(office: &Office, id: &str, wish: &CloseOne) -> Answer {
    let order = match order(wish.code, wish.reason.as_deref()) {
        Ok(order) => order,
        Err(wrong) => return wrong.answer(),
    };
    let handle = id.parse().ok();
    match handle.and_then(|id| office.control.registry().find(id)) {
        Some(handle) => begin(office, vec![handle], order, Duration::ZERO),
        None => no_tunnel(id),
    }
}

/// Closes the tunnels that are meant.
pub(super) fn some(office: &Office, wish: &CloseSome) -> Answer {
    if !wish.means_any() {
        let message = "say which: `route`, `pool`, `backend`, `client`, `older_than_seconds`, or \
                       `all`";
        return refusal(StatusCode::BAD_REQUEST, message);
    }
    match wish.terms() {
        Ok(terms) => close_all(office, wish, terms),
        Err(wrong) => wrong.answer(),
    }
}

/// What tunnels are told, over how long, and how old they are at least.
struct Terms {
    order: CloseOrder,
    over: Duration,
    age: Duration,
}

fn close_all(office: &Office, wish: &CloseSome, terms: Terms) -> Answer {
    let is_meant = |tunnel: &Sketch<'_>| wish.means(tunnel) && tunnel.age >= terms.age;
    let mut tunnels = office.control.registry().served_by(|_| true);
    tunnels.retain(|tunnel| tunnel.look(is_meant) == Some(true));
    begin(office, tunnels, terms.order, terms.over)
}

/// How far the closing with that number is.
pub(super) fn progress(office: &Office, id: &str) -> Answer {
    let found = id.parse().ok().and_then(|id| closing(office, id));
    found.map_or_else(
        || {
            let message = format!("no closing of late has the number {id}");
            refusal(StatusCode::NOT_FOUND, message)
        },
        |closing| json(&closing),
    )
}

pub(super) fn no_tunnel(id: &str) -> Answer {
    let message = format!("no live tunnel has the number {id}");
    refusal(StatusCode::NOT_FOUND, message)
}

fn begin(office: &Office, tunnels: Vec<Handle>, order: CloseOrder, over: Duration) -> Answer {
    let total = tunnels.len();
    let id = office.control.close(tunnels, order, over);
    // One that is over already is as good as forgotten.
    let closing = closing(office, id).unwrap_or(Closing {
        id,
        total,
        untold: 0,
        left: 0,
        seconds_left: 0.0,
    });
    json(&closing)
}

fn closing(office: &Office, id: u64) -> Option<Closing> {
    let stand = office.control.closing(id)?;
    Some(Closing {
        id,
        total: stand.total,
        untold: stand.untold,
        left: stand.left,
        seconds_left: stand.time_left(Instant::now()).as_secs_f64(),
    })
}

/// What tunnels are told.
fn order(code: Option<u16>, reason: Option<&str>) -> Result<CloseOrder, Wrong> {
    let code = code.map_or(CloseCode::GOING_AWAY, CloseCode);
    if !code.may_be_sent() {
        let message = format!(
            "{} is no code that may be sent: expected 1000 to 1003, 1007 to 1014, or 3000 to 4999",
            code.0
        );
        return Err(Wrong::request(message));
    }
    let reason = reason.unwrap_or(REASON);
    if reason.len() > MAX_REASON {
        let message = format!("a reason has {MAX_REASON} bytes at most");
        return Err(Wrong::request(message));
    }
    Ok(CloseOrder {
        cause: Cause::Closed,
        code,
        reason: reason.to_owned().into(),
    })
}

/// So many seconds, or none if nothing is said. Clocks can count no more than so far.
fn duration(name: &str, seconds: Option<f64>) -> Result<Duration, Wrong> {
    let duration = Duration::try_from_secs_f64(seconds.unwrap_or_default());
    let duration = duration.ok().filter(|duration| *duration <= LONGEST);
    duration.ok_or_else(|| {
        let message = format!("`{name}` is no length of time: expected 0 to 10 years, in seconds");
        Wrong::request(message)
    })
}

impl CloseSome {
    /// Whether it says which.
    fn means_any(&self) -> bool {
        self.all
            || self.route.is_some()
            || self.pool.is_some()
            || self.backend.is_some()
            || self.client.is_some()
            || self.older_than_seconds.is_some()
    }

    fn terms(&self) -> Result<Terms, Wrong> {
        Ok(Terms {
            order: order(self.code, self.reason.as_deref())?,
            over: duration("over_seconds", self.over_seconds)?,
            age: duration("older_than_seconds", self.older_than_seconds)?,
        })
    }

    /// But for their age.
    fn means(&self, tunnel: &Sketch<'_>) -> bool {
        let is = |wanted: &Option<String>, own: &str| wanted.as_deref().is_none_or(|w| w == own);
        is(&self.route, tunnel.route)
            && is(&self.pool, tunnel.pool)
            && is(&self.backend, tunnel.backend)
            && self.client.is_none_or(|client| client == tunnel.client)
    }
}
