//! `[server]`

use std::{net::IpAddr, num::NonZeroUsize, thread};

use ipnet::{IpNet, Ipv4Net};

use super::{
    field::Field,
    reading::{Reported, all},
    section::Section,
    values::{integer, non_empty, one_of, or_off, text},
};

const A_NETWORK: &str = "an IP address or a network, such as \"10.0.0.0/8\"";

/// `[server]`: the process itself.
#[derive(Debug, Clone)]
pub struct Server {
    /// Worker threads; a connection lives and dies on one of them. Default: one a core.
    pub workers: NonZeroUsize,
    /// What we are called in `Via`; `None` writes none. Default: `longwire`.
    pub via: Option<String>,
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
            via: section.or(
                "via",
                |field| or_off(field, pseudonym),
                Some("longwire".to_owned()),
            ),
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

/// A name that stands in `Via` for a host (RFC 9110, section 7.6.3).
fn pseudonym(field: &Field<'_>) -> Result<String, Reported> {
    let expected = "a name such as \"edge-1\": letters, digits, `-`, `_` and `.`, at most 64";
    let name = non_empty(field, expected)?;
    let is_fitting = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.len() > 64 || !name.bytes().all(is_fitting) {
        let message = format!("`{}` is no name for `Via`", name.escape_debug());
        return Err(field.fault(message, format!("expected {expected}")));
    }
    Ok(name.to_owned())
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
        .map(|network| canonical(network.trunc()))
        .map_err(|_| {
            let message = format!("`{}` is no network", written.escape_debug());
            field.fault(message, format!("expected {A_NETWORK}"))
        })
}

/// An IPv4 network as such, also where it is written as IPv6 addresses (RFC 4291, section 2.5.5.2):
/// so are the addresses that it is compared with.
fn canonical(network: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    let ipv4 = match network {
        IpNet::V6(ipv6) => ipv6
            .prefix_len()
            .checked_sub(MAPPED)
            .zip(ipv6.addr().to_ipv4_mapped()),
        IpNet::V4(_) => None,
    };
    let ipv4 = ipv4.and_then(|(prefix, address)| Ipv4Net::new(address, prefix).ok());
    ipv4.map_or(network, IpNet::V4)
}
