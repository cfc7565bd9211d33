//! Who the client is, by what proxies say in a header.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, header::FORWARDED};
use longwire::{
    config::{TrustedHeader, TrustedProxies},
    proxy::client::Client,
};

use crate::Input;

const NAMES: [&str; 6] = [
    "x-forwarded-for",
    "x-forwarded-for",
    "forwarded",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
];

const WORDS: [&str; 28] = [
    "10.0.0.1",
    "10.0.0.2",
    "192.0.2.7",
    "6.6.6.6",
    "::1",
    "[2001:db8::1]",
    "[2001:db8::1]:47",
    "10.0.0.3:80",
    "::ffff:10.0.0.9",
    ",",
    ", ",
    ",,",
    ";",
    "=",
    "\"",
    "for=",
    "For=\"",
    "proto=",
    "host=",
    "by=",
    "https",
    "http",
    "unknown",
    "_hidden",
    "chat.example.com",
    "a:443",
    " ",
    "99999",
];

/// Holds that nobody is believed but trusted proxies, these by one header alone, and that the client
/// is then the last address in it that is no trusted proxy's, up to the first that is none.
pub fn only_trusted_proxies_say_who_the_client_is(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let peer: SocketAddr = match input.byte() % 2 {
        0 => "198.51.100.1:5000".parse().unwrap(),
        _ => "10.0.0.1:5000".parse().unwrap(),
    };
    let (header, name) = match input.byte() % 2 {
        0 => (TrustedHeader::XForwardedFor, NAMES[0]),
        _ => (TrustedHeader::Forwarded, "forwarded"),
    };
    let trusted = TrustedProxies {
        networks: vec!["10.0.0.0/8".parse().unwrap()],
        header,
    };
    let mut headers = HeaderMap::new();
    for _ in 0..input.byte() % 6 {
        let name: HeaderName = NAMES[usize::from(input.byte()) % NAMES.len()]
            .parse()
            .unwrap();
        if let Ok(value) = HeaderValue::from_bytes(&input.text(&WORDS, 9)) {
            headers.append(name, value);
        }
    }
    let client = Client::new(peer, false, "chat.test", &headers, &trusted);
    if peer.ip() == IpAddr::from([198, 51, 100, 1]) {
        let alone = Client::new(peer, false, "chat.test", &HeaderMap::new(), &trusted);
        assert_eq!(client, alone, "a stranger is believed: {headers:?}");
        return;
    }
    if header == TrustedHeader::XForwardedFor {
        assert_eq!(
            client.ip(),
            last_stranger(&headers).unwrap_or(peer.ip()),
            "{headers:?}"
        );
    }
    let others: Vec<_> = headers
        .keys()
        .filter(|key| is_other(key, name))
        .cloned()
        .collect();
    for other in others {
        headers.remove(other);
    }
    let same = Client::new(peer, false, "chat.test", &headers, &trusted);
    assert_eq!(client, same, "another header is believed");
}

/// Whether a header belongs to the family that is not the trusted one.
fn is_other(name: &HeaderName, trusted: &str) -> bool {
    (name == FORWARDED) != (trusted == "forwarded")
}

/// The same by the shortest way, for `X-Forwarded-For`.
fn last_stranger(headers: &HeaderMap) -> Option<IpAddr> {
    let values = headers.get_all(NAMES[0]).into_iter();
    let values: Vec<&str> = values
        .map(|value| value.to_str().unwrap_or_default())
        .collect();
    let line = values.join(",");
    if values.is_empty() {
        return None;
    }
    let mut last = None;
    for element in line.rsplit(',').map(str::trim) {
        let Some(ip) = address(element) else { break };
        last = Some(ip);
        if !matches!(ip, IpAddr::V4(v4) if v4.octets()[0] == 10) {
            break;
        }
    }
    last
}

fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let ip = bare.unwrap_or(text).parse::<IpAddr>().ok();
    let ip = ip.or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    ip.map(|ip| ip.to_canonical())
}
