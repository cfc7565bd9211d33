//! Errors of TLS as they are shown.

use std::{fmt, io};

use rustls::Error;

use crate::config::tls_words;

/// An error of TLS that is shown in plain words.
#[derive(Debug)]
struct InWords(Error);

/// The same error in plain words, if TLS has made it.
pub(super) fn in_words(error: io::Error) -> io::Error {
    match tls_error(&error) {
        Some(tls) => io::Error::new(error.kind(), InWords(tls.clone())),
        None => error,
    }
}

/// What TLS itself says of an error, if it does.
pub fn tls_error(error: &io::Error) -> Option<&Error> {
    let inner = error.get_ref()?;
    let shown = inner.downcast_ref().map(|InWords(error)| error);
    shown.or_else(|| inner.downcast_ref())
}

impl fmt::Display for InWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&tls_words(&self.0))
    }
}

impl std::error::Error for InWords {}
