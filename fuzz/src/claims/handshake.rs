//! The opening handshake.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use longwire::websocket::handshake::{Agreed, Offer};
use sha1::{Digest, Sha1};

use crate::Input;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// What follows the key in the hash (RFC 6455, section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const NAMES: [&str; 9] = [
    "upgrade",
    "connection",
    "sec-websocket-version",
    "sec-websocket-key",
    "sec-websocket-accept",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
    "content-length",
    "transfer-encoding",
];

const WORDS: [&str; 20] = [
    "websocket",
    "WebSocket",
    "upgrade",
    "Upgrade",
    "keep-alive",
    "h2c",
    ",",
    ", ",
    ";",
    "=",
    "\"",
    "13",
    "8",
    KEY,
    "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    "chat",
    "superchat",
    "permessage-deflate",
    "client_no_context_takeover",
    "0",
];

/// Holds that an offer is one only if RFC 6455 says so, that an answer that passes is the one that
/// the key asks for, and that it chooses only what was offered.
pub fn a_handshake_is_granted_only_as_it_was_asked_for(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut request = Request::new(());
    *request.method_mut() = match input.byte() % 8 {
        0 => Method::POST,
        _ => Method::GET,
    };
    *request.version_mut() = match input.byte() % 8 {
        0 => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    *request.headers_mut() = headers(&mut input, &request_of_rfc6455());
    let (request, ()) = request.into_parts();
    let Ok(Some(offer)) = Offer::of(&request) else {
        return;
    };
    assert_eq!(request.method, Method::GET);
    assert_eq!(request.version, Version::HTTP_11);
    assert!(has_token(&request.headers, "upgrade", "websocket"));
    assert!(has_token(&request.headers, "connection", "upgrade"));
    assert_eq!(request.headers["sec-websocket-version"], "13");
    let key = request.headers["sec-websocket-key"].as_bytes();
    let spelling = key.strip_suffix(b"==").expect("16 bytes end in two pads");
    assert_eq!(spelling.len(), 22, "16 bytes are 22 letters");
    assert!(!request.headers.contains_key("transfer-encoding"));

    let mut answer = Response::new(());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let accept = accept(key);
    *answer.headers_mut() = headers(&mut input, &answer_of_rfc6455(&accept));
    let (answer, ()) = answer.into_parts();
    if offer.check(&answer).is_err() {
        return;
    }
    assert!(has_token(&answer.headers, "upgrade", "websocket"));
    assert!(has_token(&answer.headers, "connection", "upgrade"));
    assert_eq!(answer.headers["sec-websocket-accept"], accept.as_str());
    if let Some(chosen) = answer.headers.get("sec-websocket-protocol") {
        let offered = elements(&request.headers, "sec-websocket-protocol");
        assert!(offered.iter().any(|offered| offered == chosen.as_bytes()));
    }
    let agreed = Agreed::on(&answer.headers);
    let mut written = HeaderMap::new();
    agreed.write(&mut written);
    assert_eq!(Agreed::on(&written), agreed, "it changes when it is told");
}

fn request_of_rfc6455() -> [(&'static str, &'static str); 6] {
    [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", KEY),
        ("sec-websocket-protocol", "chat, superchat"),
        ("sec-websocket-extensions", "permessage-deflate"),
    ]
}

fn answer_of_rfc6455(accept: &str) -> [(&'static str, &str); 5] {
    [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-accept", accept),
        ("sec-websocket-protocol", "chat"),
        ("sec-websocket-extensions", "permessage-deflate"),
    ]
}

/// Each of the `usual` ones, or not, or something else in its place; and some more.
fn headers(input: &mut Input<'_>, usual: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in usual {
        let name: HeaderName = name.parse().unwrap();
        match input.byte() % 8 {
            0 => {}
            1 => append(&mut headers, name, &input.text(&WORDS, 5)),
            _ => append(&mut headers, name, value.as_bytes()),
        }
    }
    for _ in 0..input.byte() % 4 {
        let name = NAMES[usize::from(input.byte()) % NAMES.len()];
        append(&mut headers, name.parse().unwrap(), &input.text(&WORDS, 5));
    }
    headers
}

fn append(headers: &mut HeaderMap, name: HeaderName, value: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(value) {
        headers.append(name, value);
    }
}

fn accept(key: &[u8]) -> String {
    let hash = Sha1::new().chain_update(key).chain_update(GUID);
    BASE64_STANDARD.encode(hash.finalize())
}

fn has_token(headers: &HeaderMap, name: &str, token: &str) -> bool {
    let is_it = |element: &Vec<u8>| element.eq_ignore_ascii_case(token.as_bytes());
    elements(headers, name).iter().any(is_it)
}

fn elements(headers: &HeaderMap, name: &str) -> Vec<Vec<u8>> {
    let values = headers.get_all(name).into_iter();
    let elements = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    elements.map(|e| e.trim_ascii().to_vec()).collect()
}
