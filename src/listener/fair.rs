//! A bound on what one client's address takes of all listeners.

use std::{
    net::IpAddr,
    num::NonZeroUsize,
    sync::{Arc, Mutex},
};

use ipnet::IpNet;

use crate::clients::{Full, Share, Tally};

/// How many connections one address may have, over all listeners: an IPv6 network of 64 bits is one.
/// Trusted proxies, which carry many clients, may have any number.
#[derive(Debug, Default)]
pub struct PerClient {
    tally: Arc<Tally>,
    trusted: Mutex<Arc<[IpNet]>>,
}

impl PerClient {
    /// So many for each but those in `trusted` networks; `None` is no limit.
    #[must_use]
    pub fn new(most: Option<NonZeroUsize>, trusted: &[IpNet]) -> Arc<Self> {
        let limit = Self::default();
        limit.set(most, trusted);
        Arc::new(limit)
    }

    /// Changes the limit. Connections that are open stay; those that came while there was no limit
    /// are not counted.
    pub fn set(&self, most: Option<NonZeroUsize>, trusted: &[IpNet]) {
        *self.trusted.lock().expect("no holder panics") = trusted.into();
        self.tally.set(most);
    }

    pub(super) fn take(&self, ip: IpAddr) -> Result<Option<Share>, Full> {
        if self.is_exempt(ip) {
            return Ok(None);
        }
        Share::take(&self.tally, ip)
    }

    pub(super) fn take_beyond(&self, ip: IpAddr) -> Option<Share> {
        if self.is_exempt(ip) {
            return None;
        }
        Share::take_beyond(&self.tally, ip)
    }

    fn is_exempt(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let trusted = Arc::clone(&self.trusted.lock().expect("no holder panics"));
        trusted.iter().any(|network| network.contains(&ip))
    }
}
