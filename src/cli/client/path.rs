//! What a request is about.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but what RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The path of a request, encoded.
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
    use super::*;

    #[test]
    fn names_stay_whole_segments() {
        let path = Path::api(["pools", "a/b", "backends", "unix:/run/chat.sock", "drain"]);
        let encoded = "/api/v1/pools/a%2Fb/backends/unix%3A%2Frun%2Fchat.sock/drain";
        assert_eq!(path.as_str(), encoded);
    }
}
