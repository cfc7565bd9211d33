//! Which addresses are one client, and how much each client has.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use dashmap::DashMap;

/// Returns the address that stands for the client at `ip`: one household has a whole IPv6 network of
/// 64 bits, and a mapped IPv4 address is that IPv4 address.
#[must_use]
pub fn client(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let network = u128::from(ip) >> 64 << 64;
            Ipv6Addr::from(network).into()
        }
        v4 => v4,
    }
}

/// How many of something each client has at once, and how many it may have. It knows of no more
/// clients than have something. While there is no limit nobody is counted: a limit that a reload
/// brings counts what comes from then on.
#[derive(Debug, Default)]
pub struct Tally {
    /// 0 is no limit.
    most: AtomicUsize,
    counts: DashMap<IpAddr, usize>,
}

/// What one client has, counted until dropped.
#[derive(Debug)]
pub struct Share {
    tally: Arc<Tally>,
    client: IpAddr,
}

/// A client has as many as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl Tally {
    /// A tally of what each client may have so many of; `None` is no limit.
    #[must_use]
    pub fn new(most: Option<NonZeroUsize>) -> Self {
        let tally = Self::default();
        tally.set(most);
        tally
    }

    /// Changes the limit. Who has more keeps it.
    pub fn set(&self, most: Option<NonZeroUsize>) {
        self.most.store(most.map_or(0, NonZeroUsize::get), Relaxed);
    }

    /// Counts one more of the client at `ip`, and says whether it is counted. Who was counted has to
    /// [give it back](Self::give_back).
    ///
    /// # Errors
    /// If the client has as many as it may.
    pub fn take(&self, ip: IpAddr) -> Result<bool, Full> {
        let most = self.most.load(Relaxed);
        if most == 0 {
            return Ok(false);
        }
        let mut count = self.counts.entry(client(ip)).or_default();
        if *count >= most {
            return Err(Full);
        }
        *count += 1;
        Ok(true)
    }

    /// Counts one that is there already, whatever the limit, and says whether it is counted.
    pub fn take_beyond(&self, ip: IpAddr) -> bool {
        let is_counted = self.most.load(Relaxed) > 0;
        if is_counted {
            *self.counts.entry(client(ip)).or_default() += 1;
        }
        is_counted
    }

    /// Counts one less.
    pub fn give_back(&self, ip: IpAddr) {
        let client = client(ip);
        if let Some(mut count) = self.counts.get_mut(&client) {
            *count = count.saturating_sub(1);
        }
        self.counts.remove_if(&client, |_, count| *count == 0);
    }
}

impl Share {
    /// One more of the client at `ip`; `None` if it is not counted.
    ///
    /// # Errors
    /// If the client has as many as it may.
    pub fn take(tally: &Arc<Tally>, ip: IpAddr) -> Result<Option<Self>, Full> {
        let is_counted = tally.take(ip)?;
        Ok(is_counted.then(|| Self::of(tally, ip)))
    }

    /// One that is there already, whatever the limit; `None` if it is not counted.
    #[must_use]
    pub fn take_beyond(tally: &Arc<Tally>, ip: IpAddr) -> Option<Self> {
        tally.take_beyond(ip).then(|| Self::of(tally, ip))
    }

    fn of(tally: &Arc<Tally>, client: IpAddr) -> Self {
        Self {
            tally: Arc::clone(tally),
            client,
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.tally.give_back(self.client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_ipv6_network_is_one_client_and_a_mapped_ipv4_is_that_ipv4() {
        for (one, other, is_same) in [
            ("2001:db8::1", "2001:db8::ffff:2", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
        ] {
            let is_one = client(ip(one)) == client(ip(other));
            assert_eq!(is_one, is_same, "{one} {other}");
        }
    }

    #[test]
    fn a_client_has_its_share_and_nobody_without_one_is_known() {
        let tally = Arc::new(Tally::new(NonZeroUsize::new(2)));
        let (one, other) = (ip("2001:db8::1"), ip("192.0.2.1"));
        let first = Share::take(&tally, one).unwrap();
        let _second = Share::take(&tally, ip("2001:db8::2")).unwrap();
        assert!(Share::take(&tally, one).is_err());
        assert!(Share::take(&tally, other).is_ok(), "another client");
        assert_eq!(tally.counts.len(), 1, "the other has given it back");
        drop(first);
        assert!(Share::take(&tally, one).is_ok());
    }

    #[test]
    fn a_limit_that_comes_later_counts_what_comes_then() {
        let tally = Arc::new(Tally::new(None));
        let before = Share::take(&tally, ip("192.0.2.1")).unwrap();
        assert!(before.is_none());
        tally.set(NonZeroUsize::new(1));
        let first = Share::take(&tally, ip("192.0.2.1")).unwrap();
        assert!(first.is_some() && Share::take(&tally, ip("192.0.2.1")).is_err());
        let beyond = Share::take_beyond(&tally, ip("192.0.2.1"));
        tally.set(None);
        drop((first, beyond));
        assert!(tally.counts.is_empty());
    }
}
