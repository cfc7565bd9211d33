//! What a check by HTTP or WebSocket asks for: `path`, `host`, `headers`

use http::{HeaderMap, HeaderName, HeaderValue, uri::PathAndQuery};

use crate::config::{
    field::Field,
    host::host_header,
    path,
    reading::{Reported, all},
    section::Section,
    values::text,
};

/// The request that a check makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What it is for, with a query if there is one. Default: `/`.
    pub path: PathAndQuery,
    /// The `Host` that is named; `None` is the address that the check goes to.
    pub host: Option<HeaderValue>,
    /// What else is sent along. The values are marked as sensitive.
    pub headers: HeaderMap,
}

/// What a check writes itself; another value would make another request of it.
const OURS: [&str; 8] = [
    "connection",
    "content-length",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-version",
    "te",
    "transfer-encoding",
    "upgrade",
];

impl Question {
    pub(super) fn read(section: &Section<'_>) -> Result<Self, Reported> {
        let path = section.or("path", path, PathAndQuery::from_static("/"));
        let host = section.optional("host", host_header);
        let headers = section.or("headers", headers, HeaderMap::new());
        Ok(Self {
            path,
            host: host?,
            headers,
        })
    }
}

fn path(field: &Field<'_>) -> Result<PathAndQuery, Reported> {
    let expected = "a path such as \"/health\" or \"/health?full=1\"";
    let written = path::path(field, expected, (&['#'], "it ends before the fragment"))?;
    let cannot_be_sent = |_| path::no_path(field, expected, "it cannot be sent");
    written.parse().map_err(cannot_be_sent)
}

fn headers(field: &Field<'_>) -> Result<HeaderMap, Reported> {
    let headers = field.named("a table such as { \"x-token\" = \"open sesame\" }")?;
    all(headers.iter().map(header)).map(HeaderMap::from_iter)
}

fn header(field: &Field<'_>) -> Result<(HeaderName, HeaderValue), Reported> {
    let written = field.key.escape_debug();
    let Ok(name) = HeaderName::try_from(field.key) else {
        let message = format!("`{written}` is no name of a header");
        return Err(field.fault(message, "expected one such as \"x-token\""));
    };
    if name == http::header::HOST {
        return Err(field.fault("`host` is a key of its own", "expected beside `headers`"));
    }
    if name == http::header::SEC_WEBSOCKET_PROTOCOL {
        let message = "a subprotocol is asked for with a key of its own";
        return Err(field.fault(message, "expected `subprotocol` beside `headers`"));
    }
    if OURS.contains(&name.as_str()) {
        let message = format!("a check writes `{written}` itself");
        return Err(field.fault(message, "expected other headers"));
    }
    let expected = "a header's value, in printable characters";
    let value = HeaderValue::from_str(text(field, expected)?);
    let mut value = value.map_err(|_| {
        let message = format!("the value of `{written}` cannot be sent");
        field.fault(message, format!("expected {expected}"))
    })?;
    value.set_sensitive(true);
    Ok((name, value))
}
