//! Names of hosts: what a route is for, and what is a name at all.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use http::HeaderValue;

use super::{address::parsed_port, field::Field, reading::Reported, values::text};

const A_PATTERN: &str = "a name such as \"chat.example.com\" or \"*.example.com\"";

/// The hosts that a route is for. Names are lower case, without a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Every host.
    Any,
    /// This one: a name, an IPv4 address, or an IPv6 address in the brackets it has in `Host`.
    Exact(String),
    /// `*.example.com`, kept as `example.com`: every name below it, not the name itself.
    Wildcard(String),
}

impl HostPattern {
    pub(super) fn read(field: &Field<'_>) -> Result<Self, Reported> {
        let written = text(field, A_PATTERN)?;
        let wrong = |why: &str| {
            let message = format!("`{}` is not a host: {why}", written.escape_debug());
            field.fault(message, format!("expected {A_PATTERN}"))
        };
        if written == "*" {
            return Err(wrong("leave `host` out to take every host"));
        }
        if let Some(parent) = written.strip_prefix("*.") {
            let name = checked_name(parent).map_err(wrong)?;
            return Ok(Self::Wildcard(name));
        }
        checked_host(written).map(Self::Exact).map_err(wrong)
    }
}

/// A name or an address as it stands in a `Host` header or a URL, in its one spelling, or why it
/// is none.
pub(super) fn checked_host(host: &str) -> Result<String, &'static str> {
    if let Some(rest) = host.strip_prefix('[') {
        return match rest.strip_suffix(']').map(str::parse::<Ipv6Addr>) {
            Some(Ok(address)) => Ok(format!("[{address}]")),
            Some(Err(_)) => Err("what is in brackets is no IPv6 address"),
            None => Err("the port is not part of it"),
        };
    }
    if host.parse::<Ipv6Addr>().is_ok() {
        return Err("an IPv6 address stands in brackets");
    }
    checked_name(host)
}

/// A `Host` as it is to be sent, with a port if it has one.
pub(super) fn host_header(field: &Field<'_>) -> Result<HeaderValue, Reported> {
    let expected = "a host, such as \"internal.example.com\" or \"internal.example.com:8080\"";
    let written = text(field, expected)?;
    let wrong = |why: &str| {
        let message = format!("`{}` is not a host: {why}", written.escape_debug());
        field.fault(message, format!("expected {expected}"))
    };
    let bracket = written.rfind(']').unwrap_or(0);
    let colon = written[bracket..].find(':').map(|at| bracket + at);
    let (host, port) = match colon {
        Some(colon) => (&written[..colon], Some(&written[colon + 1..])),
        None => (written, None),
    };
    checked_host(host).map_err(wrong)?;
    if let Some(port) = port {
        parsed_port(port).map_err(wrong)?;
    }
    HeaderValue::from_str(written).map_err(|_| wrong("it cannot be sent"))
}

/// A DNS name or an IPv4 address in lower case, or why it is none.
pub(super) fn checked_name(name: &str) -> Result<String, &'static str> {
    let is_of_a_label = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() {
        return Err("it is empty");
    }
    if !name.is_ascii() {
        return Err("a name in other letters is written in its `xn--` form");
    }
    if name.contains('*') {
        return Err("a `*` stands only at the front, before a dot");
    }
    if name.contains("://") {
        return Err("a host has no scheme");
    }
    if name.contains(':') {
        return Err("the port is not part of it");
    }
    if name.len() > 253 || name.split('.').any(|label| label.len() > 63) {
        return Err("it is too long for a name");
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err("there is nothing between two dots, or before or after one");
        }
        if !label.chars().all(is_of_a_label) || label.starts_with('-') || label.ends_with('-') {
            return Err("its parts are letters, digits and inner hyphens");
        }
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    if last.bytes().all(|byte| byte.is_ascii_digit()) && name.parse::<Ipv4Addr>().is_err() {
        return Err("it ends in a number, and is no IPv4 address");
    }
    Ok(name.to_ascii_lowercase())
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(host) => f.write_str(host),
            Self::Wildcard(parent) => write!(f, "*.{parent}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_spelling() {
        assert_eq!(
            checked_host("Chat.Example.COM").unwrap(),
            "chat.example.com"
        );
        assert_eq!(checked_host("[0:0::1]").unwrap(), "[::1]");
        assert_eq!(checked_host("10.0.0.1").unwrap(), "10.0.0.1");
        assert_eq!(checked_host("my_service").unwrap(), "my_service");
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = "a".repeat(64);
        for host in [
            "",
            "a..b",
            ".a",
            "a.",
            "-a",
            "a-",
            "a b",
            "a/b",
            "a:80",
            "[::1]:80",
            "[x]",
            "::1",
            "300.1.1.1",
            "1.2.3",
            "büro.example",
            "a.*.b",
            "http://a",
            "a\n",
            &long,
        ] {
            assert!(checked_host(host).is_err(), "{host:?}");
        }
    }
}
