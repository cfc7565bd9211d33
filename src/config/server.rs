//! `[server]`

use std::{net::IpAddr, num::NonZeroUsize, thread};

use ipnet::IpNet;

use super::{
    field::Field,
    reading::{Reported, all},
    section::Section,
    values::{integer, one_of, text},
};

const A_NETWORK: &str = "an IP address or a network, such as \"10.0.0.0/8\"";

/// `[server]`: the process itself.
#[derive(Debug, Clone)]
pub struct Server {
    /// Worker threads; a connection lives and dies on one of them. Default: one a core.
    pub workers: NonZeroUsize,
    /// Whose word about a client's address is believed.
    pub trusted_proxies: TrustedProxies,
}

/// The proxies in front of us whose forwarding header is believed.
#[derive(Debug, Clone)]
pub struct TrustedProxies {
    /// `trusted_proxies`: the networks that they connect from. Default: none.
    pub networks: Vec<IpNet>,
    /// `trusted_header`: the one header that they all write. Default: `X-Forwarded-For`.
    pub header: TrustedHeader,
}

/// The header in which trusted proxies name the client.
///
/// One, not both: a proxy that writes only one of them passes on a forged other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustedHeader {
    /// `X-Forwarded-For`, with `X-Forwarded-Proto` and `X-Forwarded-Host` beside it.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

const HEADERS: [(&str, TrustedHeader); 2] = [
    ("x-forwarded-for", TrustedHeader::XForwardedFor),
    ("forwarded", TrustedHeader::Forwarded),
];

impl Server {
    pub(super) fn read(section: &Section<'_>) -> Result<Self, Reported> {
        Ok(Self {
            workers: section.or("workers", workers, one_a_core()),
            trusted_proxies: TrustedProxies {
                networks: section.or("trusted_proxies", networks, Vec::new()),
                header: section.or(
                    "trusted_header",
                    |field| one_of(field, &HEADERS),
                    TrustedHeader::XForwardedFor,
                ),
            },
        })
    }
}

fn one_a_core() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

fn workers(field: &Field<'_>) -> Result<NonZeroUsize, Reported> {
    let workers = integer(field, 1..=1024)?;
    // The range begins at 1.
    Ok(NonZeroUsize::new(workers).unwrap_or(NonZeroUsize::MIN))
}

fn networks(field: &Field<'_>) -> Result<Vec<IpNet>, Reported> {
    all(field
        .elements("an array of IP addresses and networks")?
        .iter()
        .map(network))
}

fn network(field: &Field<'_>) -> Result<IpNet, Reported> {
    let written = text(field, A_NETWORK)?;
    let address = written.parse::<IpAddr>().map(IpNet::from);
    address
        .or_else(|_| written.parse::<IpNet>())
        .map(|network| network.trunc())
        .map_err(|_| {
            let message = format!("`{}` is no network", written.escape_debug());
            field.fault(message, format!("expected {A_NETWORK}"))
        })
}
