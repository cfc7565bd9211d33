//! Clients that were told to reconnect, until they have come back: how many may be on their way at
//! once.
//!
//! Who comes back is known by the client's address alone, so it may be another client behind the same
//! one that is taken for it: then a few more are told than would be. A client that comes back from
//! elsewhere counts as lost: then fewer are.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use tokio::time::Instant;

/// Those who are on their way, and how many may be. Their number grows with every client that comes
/// back, and shrinks with every one that does not: where more than half of them stay away, nobody is
/// told any more.
#[derive(Debug)]
pub(super) struct Returns<T> {
    away: Vec<Away<T>>,
    /// How many may be on their way.
    allowed: usize,
    /// How many may be at most.
    most: usize,
    /// When somebody was last told, or came back.
    moved: Instant,
}

/// A client that was told.
#[derive(Debug)]
struct Away<T> {
    tunnel: T,
    /// Where it comes from, if that is known.
    from: Option<IpAddr>,
    /// When its tunnel was seen to have ended.
    ended: Option<Instant>,
    /// Whether it has come back before its tunnel had ended.
    is_back: bool,
}

/// How many are told before any has come back.
const FIRST: usize = 10;

/// How long after the end of its tunnel a client is taken to be on its way. Whoever waits longer
/// before coming back will hardly do so.
const ON_ITS_WAY: Duration = Duration::from_secs(60);

/// How long nobody has come back and nobody could be told until that is called a pause.
const PAUSES_AFTER: Duration = Duration::from_secs(30);

/// How long a pause lasts until one more is told, to see whether it comes back.
const TRIES_AGAIN_AFTER: Duration = Duration::from_secs(600);

impl<T> Returns<T> {
    /// Of nobody yet, with at most so many on their way at once.
    pub(super) fn new(most: usize, now: Instant) -> Self {
        Self {
            away: Vec::new(),
            allowed: FIRST.min(most),
            most,
            moved: now,
        }
    }

    /// How many more may be told.
    pub(super) fn room(&self) -> usize {
        self.allowed.saturating_sub(self.away.len())
    }

    /// How many have not come back yet, be it that their tunnels have not ended.
    pub(super) fn awaited(&self) -> usize {
        self.away.iter().filter(|away| !away.is_back).count()
    }

    /// The tunnels of those who were told and have not come back.
    pub(super) fn tunnels(&self) -> impl Iterator<Item = &T> {
        self.away.iter().map(|away| &away.tunnel)
    }

    /// Whether nobody may be told since too few come back.
    pub(super) fn is_pausing(&self, now: Instant) -> bool {
        self.room() == 0 && now >= self.moved + PAUSES_AFTER
    }

    /// A client of a tunnel was told, which comes from there.
    pub(super) fn tell(&mut self, tunnel: T, from: Option<IpAddr>, now: Instant) {
        self.moved = now;
        self.away.push(Away {
            tunnel,
            from: from.map(network),
            ended: None,
            is_back: false,
        });
    }

    /// Somebody has come from there: the one who has been away for the longest of those who might be
    /// it, one whose tunnel has ended before one whose has not.
    pub(super) fn came(&mut self, from: Option<IpAddr>, now: Instant) {
        let from = from.map(network);
        let may_be = |away: &&mut Away<T>| !away.is_back && away.from == from;
        let candidates = self.away.iter_mut().filter(may_be);
        let never = now + ON_ITS_WAY;
        let Some(back) = candidates.min_by_key(|away| away.ended.unwrap_or(never)) else {
            return;
        };
        back.is_back = true;
        self.moved = now;
        self.allowed = (self.allowed + 1).min(self.most);
    }

    /// Takes note of the tunnels that have ended, and gives those up whose time is over.
    pub(super) fn settle(&mut self, has_ended: impl Fn(&T) -> bool, now: Instant) {
        for away in &mut self.away {
            if away.ended.is_none() && has_ended(&away.tunnel) {
                away.ended = Some(now);
            }
        }
        let before = self.awaited();
        self.away.retain(|away| match away.ended {
            None => true,
            Some(ended) => !away.is_back && now < ended + ON_ITS_WAY,
        });
        let lost = before - self.awaited();
        self.allowed = self.allowed.saturating_sub(lost);
        if self.allowed == 0 && now >= self.moved + TRIES_AGAIN_AFTER {
            self.allowed = 1;
        }
    }
}

/// What stands for a client: its IPv4 address, or the network that an IPv6 client has for itself,
/// within which its own address changes.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 100;

    /// Clients with a number each, from an address of their own, whose tunnels end at once.
    struct Story {
        returns: Returns<u8>,
        now: Instant,
        told: u8,
    }

    impl Story {
        fn begin() -> Self {
            let now = Instant::now();
            Self {
                returns: Returns::new(MOST, now),
                now,
                told: 0,
            }
        }

        fn tell_all(&mut self) -> Vec<u8> {
            let first = self.told;
            while self.returns.room() > 0 {
                self.returns.tell(self.told, address(self.told), self.now);
                self.told += 1;
            }
            (first..self.told).collect()
        }

        fn pass(&mut self, seconds: u64) {
            self.returns.settle(|_| true, self.now);
            self.now += Duration::from_secs(seconds);
            self.returns.settle(|_| true, self.now);
        }
    }

    fn address(number: u8) -> Option<IpAddr> {
        Some([192, 0, 2, number].into())
    }

    #[test]
    fn each_that_comes_back_lets_two_more_go() {
        let mut story = Story::begin();
        let mut told = story.tell_all();
        assert_eq!(told.len(), 10);
        for expected in [20, 40, 80] {
            for client in told {
                story.returns.came(address(client), story.now);
            }
            story.pass(1);
            told = story.tell_all();
            assert_eq!(told.len(), expected);
        }
        assert!(!story.returns.is_pausing(story.now));
    }

    #[test]
    fn where_nobody_comes_back_it_pauses_and_tries_with_one() {
        let mut story = Story::begin();
        story.tell_all();
        assert!(!story.returns.is_pausing(story.now));
        story.pass(30);
        assert!(story.returns.is_pausing(story.now));
        assert_eq!(story.returns.awaited(), 10);
        story.pass(31);
        assert!(story.returns.is_pausing(story.now), "they are given up");
        assert_eq!((story.returns.awaited(), story.returns.room()), (0, 0));
        story.pass(539);
        assert_eq!(story.tell_all().len(), 1);
        assert!(!story.returns.is_pausing(story.now));
        story.returns.came(address(10), story.now);
        story.pass(1);
        assert_eq!(story.tell_all().len(), 2, "it has come back");
    }

    #[test]
    fn it_goes_on_as_long_as_half_of_them_come_back() {
        let mut story = Story::begin();
        for _ in 0..8 {
            for client in story.tell_all() {
                if client % 2 == 0 {
                    story.returns.came(address(client), story.now);
                }
            }
            story.pass(61);
        }
        assert_eq!(story.told, 80);
    }

    #[test]
    fn strangers_do_not_count_and_neighbours_in_a_v6_network_do() {
        let mut returns = Returns::new(MOST, Instant::now());
        let now = Instant::now();
        let v6 = |text: &str| text.parse().ok();
        returns.tell((), v6("2001:db8:1:2:3::4"), now);
        returns.came(v6("2001:db8:1:3:3::4"), now);
        returns.came(address(1), now);
        returns.came(None, now);
        assert_eq!(returns.awaited(), 1);
        returns.came(v6("2001:db8:1:2:ffff::"), now);
        assert_eq!(returns.awaited(), 0);
        assert_eq!(returns.tunnels().count(), 1, "its tunnel has not ended");
    }
}
