//! `[limits]`

use std::num::NonZeroUsize;

use bytesize::ByteSize;

use super::{
    field::Field,
    reading::Reported,
    section::Section,
    values::{MANY, boolean, integer, or_off, positive, size},
};

/// `[limits]`: how much of everything is allowed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Client connections in all; `None` is no limit but the system's. Default: none.
    pub connections: Option<NonZeroUsize>,
    /// Bytes of a request's target: its path and query. Default: 8 KiB. 256 B to 64,000 B, which is
    /// about as much as can be read.
    pub uri: usize,
    /// Bytes of a request's head. Default: 16 KiB. 8 KiB to 1 MiB.
    pub request_head: usize,
    /// Bytes of a request's body; `None` is no limit. Default: none. Up to 1 TiB.
    pub request_body: Option<u64>,
    /// Client connections of one address; `None` is no limit. Default: none.
    pub connections_per_client: Option<NonZeroUsize>,
    /// Tunnels of one client; `None` is no limit. Default: none.
    pub tunnels_per_client: Option<NonZeroUsize>,
    /// Header fields of a request. Default: 100. 1 to 1000.
    pub request_headers: usize,
    /// Bytes of the head of a backend's answer. Default: 256 KiB. 8 KiB to 16 MiB.
    pub response_head: usize,
    /// Header fields of a backend's answer. Default: 500. 1 to 10000.
    pub response_headers: usize,
    /// Idle connections kept to one backend by one worker. Default: 32; 0 keeps none.
    pub backend_idle: usize,
    /// Whether header names with a `_` pass, which some servers do not tell from a `-`. Default: no.
    pub underscores: bool,
}

impl Limits {
    pub(super) fn read(section: &Section<'_>) -> Result<Self, Reported> {
        let heads = ByteSize::kib(8)..=ByteSize::mib(1);
        let answers = ByteSize::kib(8)..=ByteSize::mib(16);
        let targets = ByteSize::b(256)..=ByteSize::b(64_000);
        let per_client = |key| section.or(key, |field| or_off(field, positive), None);
        Ok(Self {
            connections: section.or("connections", |field| positive(field).map(Some), None),
            uri: section.or("uri", |field| size(field, targets), 8 * 1024),
            request_head: section.or("request_head", |field| size(field, heads), 16 * 1024),
            request_body: section.or("request_body", body, None),
            connections_per_client: per_client("connections_per_client"),
            tunnels_per_client: per_client("tunnels_per_client"),
            request_headers: section.or("request_headers", |field| integer(field, 1..=1000), 100),
            response_head: section.or("response_head", |field| size(field, answers), 256 * 1024),
            response_headers: section.or(
                "response_headers",
                |field| integer(field, 1..=10_000),
                500,
            ),
            backend_idle: section.or("backend_idle", |field| integer(field, 0..=MANY), 32),
            underscores: section.or("underscores", boolean, false),
        })
    }
}

/// The most bytes of a request's body; `None` is no limit.
pub(super) fn body(field: &Field<'_>) -> Result<Option<u64>, Reported> {
    let sizes = ByteSize::b(1)..=ByteSize::tib(1);
    let most = or_off(field, |field| size(field, sizes))?;
    Ok(most.map(|most| most as u64))
}
