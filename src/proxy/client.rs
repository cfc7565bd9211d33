//! Who the client is: its connection, and what trusted proxies say of it.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, header::FORWARDED, uri::Authority};
use ipnet::IpNet;

use super::{
    claims::Claim,
    headers::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO},
    target::authority,
};
use crate::config::{TrustedHeader, TrustedProxies};

/// The client of a request, and how it came: settled once, and all that is told of it is made of
/// this one value, in every header and in the attributes of cookies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    peer: IpAddr,
    ip: IpAddr,
    /// Where a trusted proxy may name it.
    named_in: Option<TrustedHeader>,
    is_over_tls: bool,
    /// With a port, if the client named one.
    host: Box<str>,
    port: u16,
}

/// What a trusted proxy says of a client, as it is written.
#[derive(Debug, Default)]
struct Told<'h> {
    ip: Option<IpAddr>,
    scheme: Option<&'h str>,
    host: Option<&'h str>,
    port: Option<&'h str>,
}

impl Client {
    /// The client whose request with `headers` came from `peer`, over TLS or not, for `host`.
    #[must_use]
    pub fn new(
        peer: SocketAddr,
        over_tls: bool,
        host: &str,
        headers: &HeaderMap,
        trusted: &TrustedProxies,
    ) -> Self {
        let peer = peer.ip().to_canonical();
        let trusts = |ip: &IpAddr| trusts(&trusted.networks, *ip);
        let named_in = trusts(&peer).then_some(trusted.header);
        let told = match named_in {
            None => Told::default(),
            Some(TrustedHeader::XForwardedFor) => Told::beside_addresses(headers, trusts),
            Some(TrustedHeader::Forwarded) => Told::in_forwarded(headers, trusts),
        };
        let is_over_tls = told.scheme.and_then(is_secure).unwrap_or(over_tls);
        let believed = told.host.and_then(|host| authority(host.as_bytes()).ok());
        let host = believed.as_ref().map_or(host, Authority::as_str);
        let port = port(host).or_else(|| told.port.and_then(|port| port.parse().ok()));
        Self {
            peer,
            ip: told.ip.unwrap_or(peer),
            named_in,
            is_over_tls,
            host: host.into(),
            port: port.unwrap_or(if is_over_tls { 443 } else { 80 }),
        }
    }

    /// Its own address, as far as it can be believed.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// Whether it came over TLS, be it to a proxy before us.
    #[must_use]
    pub fn is_over_tls(&self) -> bool {
        self.is_over_tls
    }

    /// The host that it asked for, with a port if it named one.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port that it asked for.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.is_over_tls { "https" } else { "http" }
    }

    /// The host with the port, unless that goes without saying.
    pub(super) fn host_and_port(&self) -> String {
        let usual = if self.is_over_tls { 443 } else { 80 };
        if self.port == usual || port(&self.host).is_some() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
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

    /// Whether a backend may hear what the header `name` says, which makes `claim`: nothing from
    /// those that are not trusted, and from those that are, nothing that contradicts this value. They
    /// may well pass on what a client has written where they do not know the header.
    pub(super) fn may_say(&self, name: &str, claim: Claim, value: &[u8], target: &str) -> bool {
        let Some(named_in) = self.named_in else {
            return false;
        };
        let value = std::str::from_utf8(value).unwrap_or_default().trim();
        match claim {
            Claim::Forged => false,
            Claim::Address => address(value) == Some(self.ip),
            Claim::Scheme => is_secure(value) == Some(self.is_over_tls),
            Claim::Host => {
                value.eq_ignore_ascii_case(&self.host)
                    || value.eq_ignore_ascii_case(&self.host_and_port())
            }
            Claim::Target => value == target,
            Claim::Other => {
                named_in == TrustedHeader::XForwardedFor || !name.starts_with("x-forwarded")
            }
        }
    }
}

impl<'h> Told<'h> {
    /// What is said by `X-Forwarded-For` and those beside it.
    fn beside_addresses(headers: &'h HeaderMap, trusts: impl Fn(&IpAddr) -> bool) -> Self {
        let mut told = Self::default();
        let mut hop = 0;
        for (at, ip) in elements(headers, &X_FORWARDED_FOR).map(address).enumerate() {
            let Some(ip) = ip else { break };
            (told.ip, hop) = (Some(ip), at);
            if !trusts(&ip) {
                break;
            }
        }
        told.scheme = element_of_hop(headers, &X_FORWARDED_PROTO, hop);
        told.host = element_of_hop(headers, &X_FORWARDED_HOST, hop);
        told.port = element_of_hop(headers, &X_FORWARDED_PORT, hop);
        told
    }

    /// What is said by `Forwarded` (RFC 7239).
    fn in_forwarded(headers: &'h HeaderMap, trusts: impl Fn(&IpAddr) -> bool) -> Self {
        let mut told = Self::default();
        let values = values(headers, &FORWARDED);
        for element in values.flat_map(|value| split_outside_quotes(value, ',')) {
            let hop = Self::in_element(element);
            let Some(ip) = hop.ip else { break };
            told = hop;
            if !trusts(&ip) {
                break;
            }
        }
        told
    }

    /// What is said by an element of `Forwarded` (RFC 7239, section 4).
    fn in_element(element: &'h str) -> Self {
        let mut told = Self::default();
        for pair in split_outside_quotes(element, ';') {
            let Some((name, value)) = pair.trim().split_once('=') else {
                continue;
            };
            let value = value.trim().trim_matches('"');
            match name.to_ascii_lowercase().as_str() {
                "for" => told.ip = told.ip.or_else(|| address(value)),
                "proto" => told.scheme = told.scheme.or(Some(value)),
                "host" => told.host = told.host.or(Some(value)),
                _ => {}
            }
        }
        told
    }
}

fn trusts(networks: &[IpNet], ip: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&ip))
}

/// Whether a word for a scheme, or for whether there was TLS, means that there was; `None` if it is
/// no such word. A WebSocket's scheme counts as the one that its handshake came by.
fn is_secure(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "https" | "wss" | "on" | "1" | "true" => Some(true),
        "http" | "ws" | "off" | "0" | "false" => Some(false),
        _ => None,
    }
}

/// The port that a host is written with.
fn port(host: &str) -> Option<u16> {
    let behind = host.rsplit_once(':')?.1;
    behind.parse().ok()
}

/// The values of a header, the last one first.
fn values<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let values = headers.get_all(name).into_iter().rev();
    values.map(|value| value.to_str().unwrap_or_default())
}

/// The elements of a comma-separated list, the last one first.
fn elements<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    values(headers, name)
        .flat_map(|value| value.rsplit(','))
        .map(str::trim)
}

/// The element that belongs to the hop with that number from the end. One that stands alone was
/// written or kept by every proxy on the way; of a list that is too short the first is the nearest.
fn element_of_hop<'h>(headers: &'h HeaderMap, name: &HeaderName, hop: usize) -> Option<&'h str> {
    elements(headers, name).take(hop + 1).last()
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
        Client::new(peer, false, "test", &headers, &trusted)
            .ip()
            .to_string()
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

    /// The scheme, host and port of a client over plain TCP, as a trusted proxy tells them.
    fn told(header: TrustedHeader, lines: &[(&'static str, &str)]) -> (&'static str, String, u16) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let trusted = TrustedProxies {
            networks: vec!["10.0.0.0/8".parse().unwrap()],
            header,
        };
        let peer = "10.0.0.1:1".parse().unwrap();
        let client = Client::new(peer, false, "test:81", &headers, &trusted);
        (client.scheme(), client.host().to_owned(), client.port())
    }

    #[test]
    fn scheme_host_and_port_are_believed_with_the_address() {
        let told = |lines: &[_]| told(TrustedHeader::XForwardedFor, lines);
        let proto = ("x-forwarded-proto", "https");
        assert_eq!(told(&[]), ("http", "test:81".into(), 81));
        assert_eq!(told(&[proto]), ("https", "test:81".into(), 81));
        let host = ("x-forwarded-host", "shop.test");
        assert_eq!(told(&[proto, host]), ("https", "shop.test".into(), 443));
        assert_eq!(
            told(&[proto, host, ("x-forwarded-port", "8443")]),
            ("https", "shop.test".into(), 8443)
        );
        assert_eq!(
            told(&[
                ("x-forwarded-host", "shop.test:82"),
                ("x-forwarded-port", "8443")
            ]),
            ("http", "shop.test:82".into(), 82)
        );
        assert_eq!(told(&[("x-forwarded-proto", "WSS")]).0, "https");
    }

    #[test]
    fn what_makes_no_sense_is_not_believed() {
        let told = |lines: &[_]| told(TrustedHeader::XForwardedFor, lines);
        for line in [
            ("x-forwarded-proto", "gopher"),
            ("x-forwarded-host", "a b"),
            ("x-forwarded-host", "me@shop.test"),
            ("x-forwarded-host", "shop.test:x"),
            ("x-forwarded-port", "70000"),
            ("forwarded", "for=1.1.1.1;proto=https;host=shop.test"),
        ] {
            assert_eq!(told(&[line]), ("http", "test:81".into(), 81), "{line:?}");
        }
    }

    #[test]
    fn a_list_tells_of_the_hop_whose_address_is_believed() {
        let told = |lines: &[_]| told(TrustedHeader::XForwardedFor, lines).0;
        let hops = ("x-forwarded-for", "6.6.6.6, 1.1.1.1, 10.0.0.2");
        let proto = |list| ("x-forwarded-proto", list);
        assert_eq!(told(&[hops, proto("http, https, http")]), "https");
        assert_eq!(told(&[hops, proto("https, http")]), "https");
        assert_eq!(told(&[hops, proto("https")]), "https");
        assert_eq!(
            told(&[("x-forwarded-for", "1.1.1.1"), proto("https, http")]),
            "http"
        );
    }

    #[test]
    fn forwarded_tells_all_of_it() {
        let told = |value| told(TrustedHeader::Forwarded, &[("forwarded", value)]);
        assert_eq!(
            told(
                "for=6.6.6.6;proto=http, for=1.1.1.1;Proto=https;host=\"shop.test:82\", for=10.0.0.2"
            ),
            ("https", "shop.test:82".into(), 82)
        );
        assert_eq!(
            told("for=unknown;proto=https"),
            ("http", "test:81".into(), 81)
        );
    }

    #[test]
    fn other_headers_of_a_trusted_proxy_may_say_the_same_and_nothing_else() {
        let trusted = TrustedProxies {
            networks: vec!["10.0.0.0/8".parse().unwrap()],
            header: TrustedHeader::XForwardedFor,
        };
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_FOR, "1.1.1.1".parse().unwrap());
        headers.insert(X_FORWARDED_PROTO, "https".parse().unwrap());
        let client =
            |peer: &str| Client::new(peer.parse().unwrap(), false, "test", &headers, &trusted);
        let may_say = |peer: &str, name: &str, value: &str| {
            client(peer).may_say(name, Claim::of(name).unwrap(), value.as_bytes(), "/a")
        };
        for (name, same, other) in [
            ("cf-connecting-ip", "1.1.1.1", "6.6.6.6"),
            ("true-client-ip", "::ffff:1.1.1.1", "nonsense"),
            ("front-end-https", "On", "off"),
            ("x-forwarded-scheme", "https", "http"),
            ("x-host", "Test", "evil.test"),
            ("x-original-url", "/a", "/admin"),
        ] {
            assert!(may_say("10.0.0.1:1", name, same), "{name}");
            assert!(!may_say("10.0.0.1:1", name, other), "{name}");
            assert!(!may_say("192.0.2.1:1", name, same), "{name}");
        }
        assert!(may_say("10.0.0.1:1", "x-forwarded-prefix", "/a"));
        assert!(!may_say("192.0.2.1:1", "x-forwarded-prefix", "/a"));
        assert!(!may_say("10.0.0.1:1", "x_real_ip", "1.1.1.1"));
        assert!(!may_say("10.0.0.1:1", "proxy", "http://evil.test"));
    }
}
