//! How much a backend's answer may say before its body.

use std::fmt;

use bytesize::ByteSize;
use hyper::client::conn::http1;

use crate::config;

/// The limits on the heads of backends' answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerLimits {
    pub(super) head: usize,
    pub(super) headers: usize,
}

impl AnswerLimits {
    pub(super) fn new(limits: &config::Limits) -> Self {
        Self {
            head: limits.response_head,
            headers: limits.response_headers,
        }
    }

    /// HTTP/1.1 to a backend within these limits.
    #[must_use]
    pub fn client(&self) -> http1::Builder {
        let mut client = http1::Builder::new();
        client
            .max_buf_size(self.head)
            .max_header_size(self.head)
            .max_headers(self.headers);
        client
    }
}

/// The limits with the keys that set them.
impl fmt::Display for AnswerLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ByteSize(self.head as u64);
        write!(
            f,
            "{head} (`limits.response_head`) or {} header fields (`limits.response_headers`)",
            self.headers
        )
    }
}
