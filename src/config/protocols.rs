//! `upgrades`: the protocols besides WebSocket that a route lets connections switch to.

use super::{
    diagnostics::Problem,
    field::Field,
    reading::{Reported, all},
    values::text,
};

const A_PROTOCOL: &str = "the name of a protocol, such as \"tcp\" or \"SPDY/3.1\"";

/// Protocols under which further requests would reach a backend that no route has seen. Compared
/// without regard to case, and whatever version follows.
const CARRY_REQUESTS: [&str; 5] = ["h2c", "h2", "h3", "http", "tls"];

/// The protocols besides WebSocket that a connection may switch to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Protocols(Box<[Box<str>]>);

impl Protocols {
    pub(super) fn read(field: &Field<'_>) -> Result<Self, Reported> {
        let elements = field.elements("an array such as [\"tcp\"]")?;
        let mut protocols = all(elements.iter().map(protocol))?;
        // It has a handshake of its own, and is always allowed.
        protocols.retain(|protocol| !protocol.eq_ignore_ascii_case("websocket"));
        Ok(Self(protocols.into()))
    }

    /// Whether that protocol is allowed, however it is spelt.
    #[must_use]
    pub fn allow(&self, protocol: &[u8]) -> bool {
        let mut allowed = self.0.iter();
        allowed.any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(protocol))
    }
}

/// A protocol's name, perhaps with a version (RFC 9110, section 7.8).
fn protocol(field: &Field<'_>) -> Result<Box<str>, Reported> {
    let written = text(field, A_PROTOCOL)?;
    let (name, version) = match written.split_once('/') {
        Some((name, version)) => (name, Some(version)),
        None => (written, None),
    };
    if !is_token(name) || version.is_some_and(|version| !is_token(version)) {
        let message = format!("`{}` is no protocol", written.escape_debug());
        return Err(field.fault(message, format!("expected {A_PROTOCOL}")));
    }
    if CARRY_REQUESTS
        .iter()
        .any(|carrying| carrying.eq_ignore_ascii_case(name))
    {
        let problem = Problem::at(
            field.place.clone(),
            format!("`{written}` can never be allowed"),
        )
        .expecting("requests in it would reach the backend past every route and policy")
        .helping("leave it out: such a request is answered as one of plain HTTP");
        return Err(field.report(problem));
    }
    Ok(written.into())
}

/// Whether it is a token (RFC 9110, section 5.6.2).
fn is_token(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token)
}
