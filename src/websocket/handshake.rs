//! The opening handshake (RFC 6455, section 4): is this an upgrade, and was it granted?
//!
//! Both answers are stricter than most endpoints', for between two endpoints that disagree about
//! whether a connection was upgraded, requests can be smuggled.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig},
    prelude::BASE64_STANDARD,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
        SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING,
        UPGRADE,
    },
    request, response,
};
use sha1::{Digest, Sha1};

use crate::quote::Quoted;

/// What a client asked for in a valid opening handshake: what a backend's answer must agree with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    accept: HeaderValue,
    /// Whether the key is written as any encoder would write it.
    has_usual_key: bool,
    subprotocols: Vec<Vec<u8>>,
    extensions: Vec<Vec<u8>>,
}

/// What a backend's 101 has agreed on with the client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Agreed {
    subprotocol: Option<HeaderValue>,
    /// In the order in which they are applied.
    extensions: Vec<Extension>,
}

/// An extension with its parameters (RFC 6455, section 9.1).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Extension {
    name: Vec<u8>,
    /// Sorted, for their order means nothing.
    parameters: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// Why a request that asks for a WebSocket cannot have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadOffer {
    /// `Sec-WebSocket-Version` is not 13: 426, naming 13 (RFC 6455, section 4.4).
    #[error("Sec-WebSocket-Version is not 13")]
    Version,
    /// `Sec-WebSocket-Key` is not one base64 value of 16 bytes.
    #[error("Sec-WebSocket-Key is not one base64 value of 16 bytes")]
    Key,
    /// It announces a body, whose end a backend might see elsewhere.
    #[error("a WebSocket handshake has no body")]
    Body,
}

/// Why a backend's 101 is no answer to the offer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// `Upgrade` is not the protocol that was asked for.
    #[error("its Upgrade is not the protocol that was asked for")]
    Upgrade,
    /// `Connection` does not contain `upgrade`.
    #[error("its Connection does not contain upgrade")]
    Connection,
    /// `Connection` names a header of the handshake, which then is not for the client.
    #[error("its Connection names a header of the handshake")]
    Nominated,
    /// `Sec-WebSocket-Accept` is not what the key asks for.
    #[error("its Sec-WebSocket-Accept does not fit the key")]
    Accept,
    /// The same for a key that a backend may have read and written anew (RFC 4648, section 3.5).
    #[error("its Sec-WebSocket-Accept does not fit the key, which is written unusually")]
    AcceptOfUnusualKey,
    /// It chose a subprotocol that the client did not offer, or several.
    #[error("it chose a subprotocol that the client did not offer")]
    Subprotocol,
    /// It chose an extension that the client did not offer.
    #[error("it chose the extension `{0}`, which the client did not offer")]
    Extension(String),
}

impl Offer {
    /// Writes an opening handshake of our own into `headers`, with a fresh key.
    pub fn write(headers: &mut HeaderMap, subprotocol: Option<&HeaderValue>) -> Self {
        let nonce: [u8; 16] = rand::random();
        let key = HeaderValue::from_str(&BASE64_STANDARD.encode(nonce));
        let key = key.expect("base64 is a header value");
        let accept = accept(&key);
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(SEC_WEBSOCKET_KEY, key);
        if let Some(subprotocol) = subprotocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, subprotocol.clone());
        }
        Self {
            accept,
            has_usual_key: true,
            subprotocols: subprotocol.iter().map(|s| s.as_bytes().to_vec()).collect(),
            extensions: Vec::new(),
        }
    }

    /// The offer in a request's head; `None` if it does not ask for a WebSocket.
    ///
    /// # Errors
    /// If it asks for one in a way that must be refused.
    pub fn of(request: &request::Parts) -> Result<Option<Self>, BadOffer> {
        if !asks_for_websocket(request) {
            return Ok(None);
        }
        let headers = &request.headers;
        if only(headers, &SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            return Err(BadOffer::Version);
        }
        let key = only(headers, &SEC_WEBSOCKET_KEY).filter(|key| is_key(key));
        let key = key.ok_or(BadOffer::Key)?;
        if announces_body(headers) {
            return Err(BadOffer::Body);
        }
        Ok(Some(Self {
            accept: accept(key),
            has_usual_key: BASE64_STANDARD.decode(key).is_ok(),
            subprotocols: tokens(headers, &SEC_WEBSOCKET_PROTOCOL)
                .map(<[u8]>::to_vec)
                .collect(),
            extensions: extension_names(headers).map(<[u8]>::to_vec).collect(),
        }))
    }

    /// Checks a backend's 101 against this offer.
    ///
    /// # Errors
    /// If it does not answer it.
    pub fn check(&self, answer: &response::Parts) -> Result<(), BadAnswer> {
        debug_assert_eq!(answer.status, StatusCode::SWITCHING_PROTOCOLS);
        let headers = &answer.headers;
        switches_to(headers, b"websocket")?;
        if tokens(headers, &CONNECTION).any(is_of_handshake) {
            return Err(BadAnswer::Nominated);
        }
        if only(headers, &SEC_WEBSOCKET_ACCEPT) != Some(&self.accept) {
            return Err(if self.has_usual_key {
                BadAnswer::Accept
            } else {
                BadAnswer::AcceptOfUnusualKey
            });
        }
        if headers.contains_key(SEC_WEBSOCKET_PROTOCOL) && !self.offers_subprotocol(headers) {
            return Err(BadAnswer::Subprotocol);
        }
        match extension_names(headers).find(|name| !self.extensions.iter().any(|e| e == name)) {
            Some(name) => Err(BadAnswer::Extension(
                Quoted::word(String::from_utf8_lossy(name)).to_string(),
            )),
            None => Ok(()),
        }
    }

    /// Writes into a 101's headers what takes this offer: the accept value, and the subprotocol
    /// that the client likes best, for browsers fail a handshake that chooses none of those offered
    /// (WHATWG WebSockets, "establish a WebSocket connection"), though RFC 6455 allows it.
    pub fn take(&self, headers: &mut HeaderMap) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        let first = self.subprotocols.first();
        if let Some(Ok(first)) = first.map(|first| HeaderValue::from_bytes(first)) {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, first);
        }
    }

    fn offers_subprotocol(&self, answer: &HeaderMap) -> bool {
        // Subprotocols are case-sensitive (RFC 6455, section 4.1).
        only(answer, &SEC_WEBSOCKET_PROTOCOL)
            .is_some_and(|chosen| self.subprotocols.iter().any(|offered| chosen == &**offered))
    }
}

impl BadAnswer {
    /// Whether the same backend may well answer another offer rightly: who makes offers can bring
    /// it about.
    #[must_use]
    pub fn depends_on_offer(&self) -> bool {
        match self {
            Self::Upgrade | Self::Connection | Self::Nominated | Self::Accept => false,
            Self::AcceptOfUnusualKey | Self::Subprotocol | Self::Extension(_) => true,
        }
    }
}

impl Agreed {
    /// What an answer with `headers` agrees on.
    #[must_use]
    pub fn on(headers: &HeaderMap) -> Self {
        Self {
            subprotocol: headers.get(SEC_WEBSOCKET_PROTOCOL).cloned(),
            extensions: tokens(headers, &SEC_WEBSOCKET_EXTENSIONS)
                .map(Extension::read)
                .collect(),
        }
    }

    /// Writes it as the answer's headers had it, in other words.
    pub fn write(&self, headers: &mut HeaderMap) {
        if let Some(subprotocol) = &self.subprotocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, subprotocol.clone());
        }
        for extension in &self.extensions {
            // It was read from a header.
            if let Ok(extension) = HeaderValue::from_bytes(&extension.written()) {
                headers.append(SEC_WEBSOCKET_EXTENSIONS, extension);
            }
        }
    }

    /// Whether a client goes on in the same way with another endpoint that agrees on the same: what
    /// it sends depends on nothing that it sent before. So it is without extensions, and where each
    /// message is compressed by itself (RFC 7692, section 7.1.1.2).
    #[must_use]
    pub fn lets_client_change_endpoint(&self) -> bool {
        match self.extensions.as_slice() {
            [] => true,
            [only] => only.compresses_each_client_message_by_itself(),
            _ => false,
        }
    }
}

impl Extension {
    fn read(written: &[u8]) -> Self {
        let mut parts = written.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let mut parameters: Vec<_> = parts.map(parameter).collect();
        parameters.sort();
        Self { name, parameters }
    }

    /// Values in quotes, whatever they are: one pair is taken off again.
    fn written(&self) -> Vec<u8> {
        let mut written = self.name.clone();
        for (name, value) in &self.parameters {
            written.extend(b"; ");
            written.extend(name);
            if let Some(value) = value {
                written.extend(b"=\"");
                written.extend(value);
                written.push(b'"');
            }
        }
        written
    }

    fn compresses_each_client_message_by_itself(&self) -> bool {
        let mut names = self.parameters.iter().map(|(name, _)| name);
        self.name == b"permessage-deflate"
            && names.any(|name| name == b"client_no_context_takeover")
    }
}

/// A parameter's name, and its value without the quotes that it may be written in.
fn parameter(written: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    let mut halves = written
        .splitn(2, |byte| *byte == b'=')
        .map(<[u8]>::trim_ascii);
    let name = halves.next().unwrap_or_default().to_ascii_lowercase();
    let value = halves.next().map(|value| {
        let inner = value
            .strip_prefix(b"\"")
            .and_then(|rest| rest.strip_suffix(b"\""));
        inner.unwrap_or(value).to_vec()
    });
    (name, value)
}

/// The `Sec-WebSocket-Accept` that `key` asks for (RFC 6455, section 4.2.2).
#[must_use]
pub fn accept(key: &HeaderValue) -> HeaderValue {
    let digest = Sha1::new()
        .chain_update(key)
        .chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        .finalize();
    HeaderValue::from_str(&BASE64_STANDARD.encode(digest)).expect("base64 is a header value")
}

/// Whether the comma-separated lists in the headers `name` contain `token`, in any case.
#[must_use]
pub fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|t| t.eq_ignore_ascii_case(token.as_bytes()))
}

/// Whether an answer switches to that protocol and to no other.
///
/// # Errors
/// If it does not.
pub fn switches_to(answer: &HeaderMap, protocol: &[u8]) -> Result<(), BadAnswer> {
    let chosen = only(answer, &UPGRADE);
    if chosen.is_none_or(|chosen| !chosen.as_bytes().eq_ignore_ascii_case(protocol)) {
        return Err(BadAnswer::Upgrade);
    }
    if !has_token(answer, &CONNECTION, "upgrade") {
        return Err(BadAnswer::Connection);
    }
    Ok(())
}

fn asks_for_websocket(request: &request::Parts) -> bool {
    request.method == Method::GET
        && request.version == Version::HTTP_11
        && has_token(&request.headers, &UPGRADE, "websocket")
        && has_token(&request.headers, &CONNECTION, "upgrade")
}

fn is_of_handshake(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with(b"sec-websocket-")
}

/// The alphabet and padding of base64. The bits that the last character has too many may be
/// anything (RFC 4648, section 3.5): some clients draw characters, and the key that RFC 6455 shows
/// in section 4.1 is of that kind.
const ANY_TRAILING_BITS: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

fn is_key(key: &HeaderValue) -> bool {
    ANY_TRAILING_BITS
        .decode(key)
        .is_ok_and(|nonce| nonce.len() == 16)
}

fn announces_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
        || headers
            .get(CONTENT_LENGTH)
            .is_some_and(|length| length != "0")
}

/// The value of the header `name`, if it stands there once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// The elements of comma-separated lists. Bytes, since a value that is no text is passed on all the
/// same, and what it lists must not escape the checks.
pub fn tokens<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h [u8]> {
    let values = headers.get_all(name).into_iter();
    values
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

fn extension_names(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    tokens(headers, &SEC_WEBSOCKET_EXTENSIONS).map(|extension| {
        let mut parts = extension.split(|byte| *byte == b';');
        parts.next().unwrap_or_default().trim_ascii()
    })
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};

    use super::*;

    /// The handshake of RFC 6455, section 1.2, with `changes` made to its headers.
    fn offer(changes: &[(&'static str, &'static str)]) -> Result<Option<Offer>, BadOffer> {
        let mut request = Request::get("/chat").body(()).unwrap();
        for (name, value) in [
            ("upgrade", "websocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-version", "13"),
            ("sec-websocket-protocol", "chat, superchat"),
            (
                "sec-websocket-extensions",
                "permessage-deflate; client_max_window_bits",
            ),
        ] {
            request
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        for (name, value) in changes {
            request.headers_mut().remove(*name);
            if !value.is_empty() {
                request
                    .headers_mut()
                    .append(*name, HeaderValue::from_static(value));
            }
        }
        Offer::of(&request.into_parts().0)
    }

    #[test]
    fn what_was_agreed_on_is_read_as_it_was_written() {
        for (protocols, extensions) in [
            (None, &[][..]),
            (Some("chat"), &["permessage-deflate"][..]),
            (None, &["a; b=1; c; d=\"2\", e", "f;g=\"\"3\"\";h=\"; i"]),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(protocol) = protocols {
                let protocol = HeaderValue::from_static(protocol);
                headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
            }
            for extension in extensions {
                let extension = HeaderValue::from_static(extension);
                headers.append(SEC_WEBSOCKET_EXTENSIONS, extension);
            }
            let agreed = Agreed::on(&headers);
            let mut written = HeaderMap::new();
            agreed.write(&mut written);
            assert_eq!(Agreed::on(&written), agreed);
        }
    }

    fn checked(changes: &[(&'static str, &'static str)]) -> Result<(), BadAnswer> {
        let mut response = Response::builder().status(101).body(()).unwrap();
        for (name, value) in [
            ("upgrade", "WebSocket"),
            ("connection", "upgrade"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ]
        .iter()
        .chain(changes)
        {
            response
                .headers_mut()
                .insert(*name, HeaderValue::from_static(value));
        }
        let offer = offer(&[]).unwrap().unwrap();
        offer.check(&response.into_parts().0)
    }

    #[test]
    fn the_handshake_of_the_rfc_is_an_offer_and_its_answer_fits() {
        assert_eq!(checked(&[]), Ok(()));
        assert_eq!(checked(&[("sec-websocket-protocol", "superchat")]), Ok(()));
        assert_eq!(
            checked(&[("sec-websocket-extensions", "permessage-deflate; x=1")]),
            Ok(())
        );
    }

    #[test]
    fn a_handshake_of_our_own_is_an_offer_like_any_other_and_never_the_same() {
        let subprotocol = HeaderValue::from_static("chat");
        let mut keys = Vec::new();
        for _ in 0..2 {
            let mut request = Request::get("/").body(()).unwrap();
            let ours = Offer::write(request.headers_mut(), Some(&subprotocol));
            keys.push(request.headers()[SEC_WEBSOCKET_KEY].clone());
            assert_eq!(Offer::of(&request.into_parts().0), Ok(Some(ours)));
        }
        assert_ne!(keys[0], keys[1]);
    }

    #[test]
    fn a_request_that_does_not_ask_rightly_for_a_websocket_is_no_offer() {
        assert_eq!(offer(&[("upgrade", "h2c")]), Ok(None));
        assert_eq!(offer(&[("upgrade", "")]), Ok(None));
        assert_eq!(offer(&[("connection", "keep-alive")]), Ok(None));

        let mut old = Request::get("/")
            .version(Version::HTTP_10)
            .body(())
            .unwrap();
        old.headers_mut()
            .insert(UPGRADE, HeaderValue::from_static("websocket"));
        old.headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("upgrade"));
        assert_eq!(Offer::of(&old.into_parts().0), Ok(None));
    }

    #[test]
    fn a_bad_offer_is_refused_for_what_is_bad() {
        assert_eq!(
            offer(&[("sec-websocket-version", "8")]),
            Err(BadOffer::Version)
        );
        assert_eq!(
            offer(&[("sec-websocket-version", "")]),
            Err(BadOffer::Version)
        );
        assert_eq!(offer(&[("sec-websocket-key", "")]), Err(BadOffer::Key));
        assert_eq!(
            offer(&[("sec-websocket-key", "c2hvcnQ=")]),
            Err(BadOffer::Key)
        );
        assert_eq!(
            offer(&[("sec-websocket-key", "not base64!")]),
            Err(BadOffer::Key)
        );
        assert_eq!(offer(&[("content-length", "5")]), Err(BadOffer::Body));
        assert_eq!(
            offer(&[("transfer-encoding", "chunked")]),
            Err(BadOffer::Body)
        );
        assert!(offer(&[("content-length", "0")]).unwrap().is_some());
    }

    #[test]
    fn an_answer_that_was_not_asked_for_is_refused() {
        assert_eq!(checked(&[("upgrade", "h2c")]), Err(BadAnswer::Upgrade));
        assert_eq!(
            checked(&[("connection", "close")]),
            Err(BadAnswer::Connection)
        );
        assert_eq!(
            checked(&[("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOO=")]),
            Err(BadAnswer::Accept)
        );
        assert_eq!(
            checked(&[("sec-websocket-protocol", "Chat")]),
            Err(BadAnswer::Subprotocol)
        );
        assert_eq!(
            checked(&[("sec-websocket-extensions", "x-other")]),
            Err(BadAnswer::Extension("x-other".into()))
        );
    }

    fn agreed(subprotocol: &'static str, extensions: &[&'static str]) -> Agreed {
        let mut headers = HeaderMap::new();
        if !subprotocol.is_empty() {
            let chosen = HeaderValue::from_static(subprotocol);
            headers.insert(SEC_WEBSOCKET_PROTOCOL, chosen);
        }
        for extension in extensions {
            let extension = HeaderValue::from_static(extension);
            headers.append(SEC_WEBSOCKET_EXTENSIONS, extension);
        }
        Agreed::on(&headers)
    }

    #[test]
    fn the_same_is_agreed_on_however_it_is_written() {
        let one = agreed("chat", &["permessage-deflate; a=10; b"]);
        assert_eq!(one, agreed("chat", &["Permessage-Deflate;B ; A = \"10\""]));
        assert_ne!(one, agreed("Chat", &["permessage-deflate; a=10; b"]));
        assert_ne!(one, agreed("", &["permessage-deflate; a=10; b"]));
        assert_ne!(one, agreed("chat", &["permessage-deflate; a=11; b"]));
        assert_ne!(one, agreed("chat", &["permessage-deflate; a=10"]));
        assert_ne!(one, agreed("chat", &[]));
        assert_eq!(agreed("", &["x, y"]), agreed("", &["x", "y"]));
        assert_ne!(agreed("", &["x, y"]), agreed("", &["y, x"]));
    }

    #[test]
    fn a_client_can_change_endpoints_where_its_compressor_remembers_nothing() {
        let can = |extensions| agreed("", extensions).lets_client_change_endpoint();
        assert!(can(&[]));
        assert!(can(&[
            "permessage-deflate; server_max_window_bits=10; client_no_context_takeover"
        ]));
        assert!(!can(&["permessage-deflate"]));
        assert!(!can(&["permessage-deflate; server_no_context_takeover"]));
        assert!(!can(&["x-other; client_no_context_takeover"]));
        assert!(!can(&["permessage-deflate; client_no_context_takeover, x"]));
    }

    #[test]
    fn an_offer_is_taken_with_the_subprotocol_that_stands_first_and_no_extension() {
        let mut headers = HeaderMap::new();
        offer(&[]).unwrap().unwrap().take(&mut headers);
        assert_eq!(
            headers[SEC_WEBSOCKET_ACCEPT],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        assert_eq!(headers[SEC_WEBSOCKET_PROTOCOL], "chat");
        assert_eq!(headers.len(), 2);

        let mut headers = HeaderMap::new();
        let bare = offer(&[("sec-websocket-protocol", "")]);
        bare.unwrap().unwrap().take(&mut headers);
        assert!(!headers.contains_key(SEC_WEBSOCKET_PROTOCOL));
    }

    #[test]
    fn bits_that_a_key_has_too_many_may_be_anything_and_the_accept_is_of_its_text() {
        // The key that RFC 6455 shows in section 4.1.
        let odd = "AQIDBAUGBwgJCgsMDQ4PEC==";
        let offer = offer(&[("sec-websocket-key", odd)]).unwrap().unwrap();
        assert_eq!(offer.accept, accept(&HeaderValue::from_static(odd)));
        let usual = accept(&HeaderValue::from_static("AQIDBAUGBwgJCgsMDQ4PEA=="));
        assert_ne!(offer.accept, usual);
        let answer = Response::builder()
            .status(101)
            .header(UPGRADE, "websocket")
            .header(CONNECTION, "upgrade")
            .header(SEC_WEBSOCKET_ACCEPT, usual);
        let (answer, ()) = answer.body(()).unwrap().into_parts();
        let bad = offer.check(&answer).unwrap_err();
        assert!(bad.depends_on_offer(), "the backend may have read the key");
    }

    #[test]
    fn two_keys_are_no_key() {
        let request = Request::get("/")
            .header(UPGRADE, "websocket")
            .header(CONNECTION, "upgrade")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
            .header(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
            .body(())
            .unwrap();
        assert_eq!(Offer::of(&request.into_parts().0), Err(BadOffer::Key));
    }
}
