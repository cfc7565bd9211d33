//! What headers pass, and what is written into them: hop-by-hop removal, `Forwarded` and
//! `X-Forwarded-*`.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
        TRANSFER_ENCODING, UPGRADE,
    },
};

use super::client::Client;
use crate::{config::TrustedHeader, websocket::handshake::has_token};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Takes out what is meant for the next hop only: the headers that `Connection` nominates and the
/// known ones (RFC 9110, section 7.6.1).
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    for name in nominated(headers) {
        headers.remove(name);
    }
    for name in [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        PROXY_CONNECTION,
        TE,
        TRANSFER_ENCODING,
        UPGRADE,
    ] {
        headers.remove(name);
    }
}

/// Whether the sender of a message ends the connection after it.
pub(super) fn announces_close(headers: &HeaderMap) -> bool {
    has_token(headers, &CONNECTION, "close")
}

/// Whether the sender of a request takes trailers (RFC 9110, section 10.1.4).
pub(super) fn takes_trailers(headers: &HeaderMap) -> bool {
    has_token(headers, &TE, "trailers")
}

/// Writes that we take trailers.
pub(super) fn take_trailers(headers: &mut HeaderMap) {
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(CONNECTION, HeaderValue::from_static("te"));
}

/// Writes that the next hop is to switch to the WebSocket protocol, or that it has been.
pub(super) fn switch_to_websocket(headers: &mut HeaderMap) {
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
}

/// Whether a body has another transfer coding than `chunked`, which we could not pass on.
pub(super) fn has_foreign_coding(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let first = codings.next();
    codings.next().is_some()
        || first.is_some_and(|c| !c.as_bytes().eq_ignore_ascii_case(b"chunked"))
}

/// Whether the end of a body can be seen in one place only: where `chunked` says, or where one
/// length does (RFC 9112, section 6.3).
pub(super) fn agree_on_length(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else {
        return true;
    };
    !headers.contains_key(TRANSFER_ENCODING)
        && length.as_bytes().iter().all(u8::is_ascii_digit)
        && lengths.all(|other| other == length)
}

/// Whether the client waits with its body until it is asked for it (RFC 9110, section 10.1.1).
pub(super) fn expects_continue(headers: &HeaderMap) -> bool {
    let expected = headers.get(EXPECT);
    expected.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Writes that the connection ends with this message, which hyper then sees to.
pub(super) fn announce_close(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
}

/// Writes who the client is and how it came, behind what trusted proxies have written in the
/// header that is believed. What stands elsewhere anyone may have written: it is taken out.
pub(super) fn write_forwarded(headers: &mut HeaderMap, client: &Client, host: &str) {
    if !client.is_named_in(TrustedHeader::XForwardedFor) {
        for name in [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST] {
            headers.remove(name);
        }
    }
    if !client.is_named_in(TrustedHeader::Forwarded) {
        headers.remove(FORWARDED);
    }
    let seen = client.seen_by_us(TrustedHeader::XForwardedFor);
    append_to_list(headers, X_FORWARDED_FOR, &seen.to_string());
    let proto = if client.over_tls() { "https" } else { "http" };
    let seen = client.seen_by_us(TrustedHeader::Forwarded);
    let forwarded = if seen.is_ipv6() {
        format!("for=\"[{seen}]\";host={};proto={proto}", quoted(host))
    } else {
        format!("for={seen};host={};proto={proto}", quoted(host))
    };
    append_to_list(headers, FORWARDED, &forwarded);
    // The first proxy has seen what the client asked for.
    let proto = HeaderValue::from_static(proto);
    headers.entry(X_FORWARDED_PROTO).or_insert(proto);
    if let Ok(host) = HeaderValue::from_str(host) {
        headers.entry(X_FORWARDED_HOST).or_insert(host);
    }
}

fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter();
    values
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect()
}

/// Appends to a comma-separated list, which may stand in several headers, and leaves one.
fn append_to_list(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    let before = headers.get_all(&name).iter();
    let mut list: Vec<&[u8]> = before.map(HeaderValue::as_bytes).collect();
    list.push(value.as_bytes());
    if let Ok(list) = HeaderValue::from_bytes(&list.join(&b", "[..])) {
        headers.insert(name, list);
    }
}

/// A value for `Forwarded`: a token as it is, anything else in quotes (RFC 7239, section 4).
fn quoted(value: &str) -> String {
    let is_token = value
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
    if is_token && !value.is_empty() {
        value.to_owned()
    } else {
        format!("\"{}\"", value.replace(['"', '\\'], ""))
    }
}
