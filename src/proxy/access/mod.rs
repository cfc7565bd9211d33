//! Access events: one for each plain request, two for each tunnel, and one each time that a tunnel
//! moves to another backend.

mod events;
mod past;
mod record;

use std::{
    borrow::Cow,
    fmt::Write,
    sync::{Arc, Mutex, OnceLock, atomic::AtomicBool},
};

use http::request;
use tokio::time::Instant;

use self::record::Asked;
pub(super) use self::{past::Past, record::Record};
use super::client::Client;
use crate::config;

/// The target that access events carry.
pub const TARGET: &str = "longwire::access";

/// Which access events are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct AccessLog {
    is_wanted: bool,
    with_query: bool,
}

impl AccessLog {
    pub(super) fn new(config: &config::Log) -> Self {
        Self {
            is_wanted: config.access,
            with_query: config.query,
        }
    }

    /// What is known of a request at its arrival.
    pub(super) fn request(
        self,
        request: &request::Parts,
        client: &Client,
        host: &str,
    ) -> Arc<Record> {
        Arc::new(Record {
            asked: Box::new(Asked {
                client: client.ip(),
                method: request.method.clone(),
                host: cut(host, MOST_OF_HOST).into(),
                path: in_ascii(request.uri.path()),
                query: request
                    .uri
                    .query()
                    .filter(|_| self.with_query)
                    .map(in_ascii),
            }),
            is_logged: self.is_wanted,
            is_handshake: AtomicBool::new(false),
            arrived: Instant::now(),
            is_counted: AtomicBool::new(false),
            has_share: AtomicBool::new(false),
            label: OnceLock::new(),
            backend: Mutex::default(),
            affinity: OnceLock::new(),
            tunnel: OnceLock::new(),
            has_ended: AtomicBool::new(false),
        })
    }
}

/// The most bytes of a path or a query that are kept, logged and shown.
const MOST: usize = 512;

/// The same of a host: as many as a name in the DNS has (RFC 1035, section 2.3.4).
const MOST_OF_HOST: usize = 255;

/// The same of a method.
const MOST_OF_METHOD: usize = 32;

/// Stands for what is left out.
const CUT: char = '…';

/// A part of a target with percent-encoding for all that is not visible ASCII (RFC 3987, section
/// 3.1): the controls and directions of Unicode cannot break or disguise a line of the log. What is
/// longer than [`MOST`] is cut.
fn in_ascii(part: &str) -> Box<str> {
    let mut ascii = String::with_capacity(part.len().min(MOST));
    for byte in part.bytes() {
        let is_plain = byte.is_ascii_graphic();
        if ascii.len() + if is_plain { 1 } else { 3 } > MOST {
            ascii.push(CUT);
            break;
        }
        if is_plain {
            ascii.push(char::from(byte));
        } else {
            // A String takes everything.
            let _ = write!(ascii, "%{byte:02X}");
        }
    }
    ascii.into()
}

/// What is in ASCII already, cut if it is longer than `most`.
fn cut(text: &str, most: usize) -> Cow<'_, str> {
    match text.get(most..) {
        None | Some("") => text.into(),
        // It was cut already.
        Some(rest) if rest.starts_with(CUT) && rest.len() == CUT.len_utf8() => text.into(),
        Some(_) => format!("{}{CUT}", &text[..most]).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_client_has_asked_for_little_of_it_is_kept() {
        assert_eq!(&*in_ascii("/a?b"), "/a?b");
        assert_eq!(&*in_ascii("/é"), "/%C3%A9");
        let whole = "/".repeat(MOST);
        assert_eq!(&*in_ascii(&whole), whole);
        assert_eq!(*in_ascii(&format!("{whole}/")), format!("{whole}…"));
        let kept = in_ascii(&"é".repeat(31_000));
        assert_eq!(*kept, format!("{}…", "%C3%A9".repeat(MOST / 6)));
    }

    #[test]
    fn what_is_cut_once_is_not_cut_again() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "abc…");
        assert_eq!(cut("abc…", 3), "abc…");
        let kept = in_ascii(&"é".repeat(1_000));
        assert_eq!(cut(&kept, MOST), *kept);
    }
}
