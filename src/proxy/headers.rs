//! What headers pass, and what is written into them: hop-by-hop removal, `Forwarded` and
//! `X-Forwarded-*`.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, ORIGIN,
        PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
    },
};

use super::{claims::Claim, client::Client};
use crate::{config::TrustedHeader, websocket::handshake::has_token};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

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

/// Whether `Connection` nominates what is meant for the backend (RFC 9110, section 7.6.1): then it
/// would see another request than the one that was judged here, without its credentials, its origin
/// or its handshake.
pub(super) fn nominates_end_to_end(headers: &HeaderMap) -> bool {
    const MEANT: [HeaderName; 5] = [AUTHORIZATION, CONTENT_LENGTH, COOKIE, HOST, ORIGIN];
    let mut names = nominated(headers).into_iter();
    names.any(|name| MEANT.contains(&name) || name.as_str().starts_with("sec-websocket-"))
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
    switch_to(headers, HeaderValue::from_static("websocket"));
}

/// The same for any protocol.
pub(super) fn switch_to(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(UPGRADE, protocol);
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
/// header that is believed. What stands elsewhere, or says something else, is taken out. `target` is
/// what the request asks for.
pub(super) fn write_forwarded(headers: &mut HeaderMap, client: &Client, target: &str) {
    let chains = [
        (X_FORWARDED_FOR, TrustedHeader::XForwardedFor),
        (FORWARDED, TrustedHeader::Forwarded),
    ];
    retain(headers, |name, value| {
        if let Some((_, header)) = chains.iter().find(|(chain, _)| chain == name) {
            return client.is_named_in(*header);
        }
        let claim = Claim::of(name.as_str());
        claim.is_none_or(|claim| client.may_say(name.as_str(), claim, value, target))
    });
    let seen = client.seen_by_us(TrustedHeader::XForwardedFor);
    append_to_list(headers, X_FORWARDED_FOR, &seen.to_string());
    append_to_list(headers, FORWARDED, &forwarded(client));
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(client.scheme()));
    headers.insert(X_FORWARDED_PORT, HeaderValue::from(client.port()));
    for (name, value) in [
        (X_FORWARDED_HOST, client.host()),
        (X_REAL_IP, &client.ip().to_string()),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
}

/// Our element of `Forwarded` (RFC 7239).
fn forwarded(client: &Client) -> String {
    let seen = client.seen_by_us(TrustedHeader::Forwarded);
    let host = quoted(&client.host_and_port());
    let proto = client.scheme();
    if seen.is_ipv6() {
        format!("for=\"[{seen}]\";host={host};proto={proto}")
    } else {
        format!("for={seen};host={host};proto={proto}")
    }
}

/// Takes out of a request's trailers what some servers would take for its headers: those that say
/// who the client is, and those with a `_` in their name.
pub(super) fn clean_trailers(trailers: &mut HeaderMap) {
    remove_underscores(trailers);
    retain(trailers, |name, _| Claim::of(name.as_str()).is_none());
}

/// Takes out the headers with a `_` in their name, which some servers do not tell from a `-`.
pub(super) fn remove_underscores(headers: &mut HeaderMap) {
    retain(headers, |name, _| !name.as_str().contains('_'));
}

/// Leaves the headers of which `keeps` holds for every value.
fn retain(headers: &mut HeaderMap, keeps: impl Fn(&HeaderName, &[u8]) -> bool) {
    let dropped = headers
        .iter()
        .filter(|(name, value)| !keeps(name, value.as_bytes()))
        .map(|(name, _)| name.clone());
    for name in dropped.collect::<Vec<_>>() {
        headers.remove(name);
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
