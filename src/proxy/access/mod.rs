//! Access events: one for each plain request, two for each tunnel, and one each time that a tunnel
//! moves to another backend.

mod events;
mod past;
mod record;

use std::{
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
                host: host.into(),
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
            label: OnceLock::new(),
            backend: Mutex::default(),
            affinity: OnceLock::new(),
            tunnel: OnceLock::new(),
            has_ended: AtomicBool::new(false),
        })
    }
}

/// A part of a target with percent-encoding for all that is not visible ASCII (RFC 3987, section
/// 3.1): the controls and directions of Unicode cannot break or disguise a line of the log.
fn in_ascii(part: &str) -> Box<str> {
    let mut ascii = String::with_capacity(part.len());
    for byte in part.bytes() {
        if byte.is_ascii_graphic() {
            ascii.push(char::from(byte));
        } else {
            // A String takes everything.
            let _ = write!(ascii, "%{byte:02X}");
        }
    }
    ascii.into()
}
