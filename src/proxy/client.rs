//! Who the client is: its connection, and what trusted proxies say of it.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, header::FORWARDED};
use ipnet::IpNet;

use super::headers::X_FORWARDED_FOR;
use crate::config::{TrustedHeader, TrustedProxies};

/// The client of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client {
    peer: IpAddr,
    ip: IpAddr,
    /// Where a trusted proxy has named it.
    named_in: Option<TrustedHeader>,
    over_tls: bool,
}

impl Client {
    /// The client whose request with `headers` came from `peer`.
    pub(super) fn of(
        peer: SocketAddr,
        over_tls: bool,
        headers: &HeaderMap,
        trusted: &TrustedProxies,
    ) -> Self {
        let peer = peer.ip().to_canonical();
        let trusts = |ip: &IpAddr| trusts(&trusted.networks, *ip);
        let named_in = trusts(&peer).then_some(trusted.header);
        let ip = if named_in.is_some() {
            // Each proxy appends whom it saw: from the last one back, the first address that is
            // not a trusted proxy's own is the client's. Beyond it anyone may have written.
            let mut seen = peer;
            for hop in hops(headers, trusted.header) {
                let Some(hop) = hop else { break };
                seen = hop;
                if !trusts(&hop) {
                    break;
                }
            }
            seen
        } else {
            peer
        };
        Self {
            peer,
            ip,
            named_in,
            over_tls,
        }
    }

    /// Its own address, as far as it can be believed.
    pub(super) fn ip(&self) -> IpAddr {
        self.ip
    }

    /// Whether what `header` says of it is believed.
    pub(super) fn is_named_in(&self, header: TrustedHeader) -> bool {
        self.named_in == Some(header)
    }

    /// The address to append to `header`: behind the word of a trusted proxy it is that proxy's
    /// own, elsewhere it stands alone.
    pub(super) fn seen_by_us(&self, header: TrustedHeader) -> IpAddr {
        if self.is_named_in(header) {
            self.peer
        } else {
            self.ip
        }
    }

    pub(super) fn over_tls(&self) -> bool {
        self.over_tls
    }
}

fn trusts(networks: &[IpNet], ip: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&ip))
}

/// The addresses that proxies say they saw, the last one first; `None` where one says something
/// else, such as `unknown`.
fn hops(headers: &HeaderMap, header: TrustedHeader) -> Vec<Option<IpAddr>> {
    match header {
        TrustedHeader::XForwardedFor => values(headers, &X_FORWARDED_FOR)
            .flat_map(|value| value.rsplit(','))
            .map(|element| address(element.trim()))
            .collect(),
        TrustedHeader::Forwarded => values(headers, &FORWARDED)
            .flat_map(|value| split_outside_quotes(value, ','))
            .map(forwarded_for)
            .collect(),
    }
}

/// The values of a header, the last one first.
fn values<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let values = headers.get_all(name).into_iter().rev();
    values.map(|value| value.to_str().unwrap_or_default())
}

/// The parts of a value, the last one first. It is read from its end, which a trusted proxy wrote:
/// a quote that a client left open can only spoil what stands before.
fn split_outside_quotes(value: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    value.rsplit(move |c| {
        is_quoted ^= c == '"';
        c == separator && !is_quoted
    })
}

/// The `for` parameter of an element of `Forwarded` (RFC 7239, section 5.2).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    split_outside_quotes(element, ';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        let value = value.trim().trim_matches('"');
        name.eq_ignore_ascii_case("for").then(|| address(value))?
    })
}

/// An address with or without a port, an IPv6 one with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let ip = bare.unwrap_or(text).parse::<IpAddr>().ok();
    let ip = ip.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    ip.map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(peer: &str, header: TrustedHeader, values: &[&str]) -> String {
        let name = match header {
            TrustedHeader::XForwardedFor => X_FORWARDED_FOR,
            TrustedHeader::Forwarded => FORWARDED,
        };
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&name, value.parse().unwrap());
        }
        let trusted = TrustedProxies {
            networks: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
            header,
        };
        let peer = SocketAddr::new(peer.parse().unwrap(), 1234);
        Client::of(peer, false, &headers, &trusted).ip().to_string()
    }

    #[test]
    fn nobody_else_is_believed() {
        let from = |peer| ip(peer, TrustedHeader::XForwardedFor, &["1.1.1.1"]);
        assert_eq!(from("192.0.2.7"), "192.0.2.7");
        assert_eq!(from("10.1.2.3"), "1.1.1.1");
        assert_eq!(from("::ffff:10.1.2.3"), "1.1.1.1");
    }

    #[test]
    fn the_client_is_the_last_address_that_is_no_trusted_proxy() {
        let seen = |values: &[&str]| ip("10.0.0.1", TrustedHeader::XForwardedFor, values);
        assert_eq!(seen(&["6.6.6.6, 1.1.1.1, 10.0.0.2"]), "1.1.1.1");
        assert_eq!(seen(&["6.6.6.6", "1.1.1.1", "10.0.0.2"]), "1.1.1.1");
        assert_eq!(seen(&["1.1.1.1:5678"]), "1.1.1.1");
        assert_eq!(seen(&["[2001:db8::1]:5678"]), "2001:db8::1");
        assert_eq!(seen(&["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
    }

    #[test]
    fn what_is_no_address_ends_the_chain() {
        let seen = |values: &[&str]| ip("10.0.0.1", TrustedHeader::XForwardedFor, values);
        assert_eq!(seen(&["1.1.1.1, nonsense, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(seen(&[]), "10.0.0.1");
    }

    #[test]
    fn forwarded_is_read_by_its_grammar() {
        let seen = |values: &[&str]| ip("::1", TrustedHeader::Forwarded, values);
        assert_eq!(seen(&["for=1.1.1.1;proto=https, for=10.0.0.2"]), "1.1.1.1");
        assert_eq!(
            seen(&["proto=http;For=\"[2001:db8::1]:47\""]),
            "2001:db8::1"
        );
        assert_eq!(seen(&["for=unknown"]), "::1");
        assert_eq!(
            seen(&["for=1.1.1.1;host=\"a, for=6.6.6.6\", for=10.0.0.2"]),
            "1.1.1.1"
        );
        assert_eq!(seen(&["host=\"a;for=6.6.6.6\";for=1.1.1.1"]), "1.1.1.1");
        assert_eq!(seen(&["for=6.6.6.6;host=\"", "for=1.1.1.1"]), "1.1.1.1");
        assert_eq!(seen(&["for=6.6.6.6;host=\", for=1.1.1.1"]), "1.1.1.1");
    }
}
