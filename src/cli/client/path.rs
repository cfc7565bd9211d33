//! What a request is about.

use std::fmt;

use form_urlencoded::Serializer;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::Value;

/// All but what RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The path of a request, with its query, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path(String);

impl Path {
    /// One that needs no encoding.
    pub(super) fn of(path: &str) -> Self {
        Self(path.to_owned())
    }

    /// `/api/v1/` with these segments, whatever is in them.
    pub(crate) fn api<const N: usize>(segments: [&str; N]) -> Self {
        let mut path = "/api/v1".to_owned();
        for segment in segments {
            path.push('/');
            path.extend(utf8_percent_encode(segment, RESERVED));
        }
        Self(path)
    }

    /// With a parameter for each field of `query` that is not null.
    pub(crate) fn with(mut self, query: &impl Serialize) -> Self {
        let fields = serde_json::to_value(query).unwrap_or_default();
        let mut parameters = Serializer::new(String::new());
        for (name, value) in fields.as_object().into_iter().flatten() {
            match value {
                Value::Null => {}
                Value::String(text) => _ = parameters.append_pair(name, text),
                other => _ = parameters.append_pair(name, &other.to_string()),
            }
        }
        self.0.push('?');
        self.0.push_str(&parameters.finish());
        self
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use longwire::admin::api::{Query, Sort};

    use super::*;

    #[test]
    fn names_stay_whole_segments() {
        let path = Path::api(["pools", "a/b", "backends", "unix:/run/chat.sock", "drain"]);
        let encoded = "/api/v1/pools/a%2Fb/backends/unix%3A%2Frun%2Fchat.sock/drain";
        assert_eq!(path.as_str(), encoded);
    }

    #[test]
    fn a_query_says_what_is_wanted_and_nothing_else() {
        let query = Query {
            search: Some("a b&c".to_owned()),
            sort: Sort::ClientRoundTrip,
            descending: true,
            limit: Some(10),
            ..Query::default()
        };
        let path = Path::api(["tunnels"]).with(&query);
        let encoded = "/api/v1/tunnels?search=a+b%26c&sort=client_round_trip&descending=true\
                       &offset=0&limit=10";
        assert_eq!(path.as_str(), encoded);
    }
}
