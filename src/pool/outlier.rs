//! Ejection of a backend, from the failures that traffic meets on it.
//!
//! Two rules, since a client must not be able to have a backend ejected that works for all others.
//! What no client can bring about counts in a row. What a client may have asked for, such as an
//! answer of 500, counts only where it is most of what is seen, from several client networks.

use std::{collections::HashMap, fmt, net::IpAddr, time::Duration};

use tokio::time::Instant;

use crate::config::Ejection;

/// What a use of a backend has shown of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It has answered a plain request.
    Reached,
    /// It has answered a handshake, and means what it says.
    Answered,
    /// It has granted a WebSocket.
    Granted,
    /// It has granted a WebSocket with a choice that the client had not offered. A client that
    /// offers nothing can bring that about, so it is no failure.
    Misfit,
    /// It could not be connected to.
    Unreachable,
    /// It was connected to and has not answered a handshake: it hung up, or was silent for too long.
    Silent,
    /// It has sent a 101 that is wrong whatever was asked.
    Wrong,
    /// It has answered a handshake with a server error, or in a way that cannot be read.
    Erred,
    /// It has left a tunnel of that age without a Close.
    Lost(Duration),
}

/// What was seen of one backend. It decides when the backend is to be left out; that others are left
/// to take its place, whoever asks has to see to.
#[derive(Debug, Clone)]
pub(super) struct Outlier {
    config: Ejection,
    row: Row,
    networks: Networks,
    /// The last time that it was left out, if it ever was.
    last: Option<Absence>,
}

/// Failures in a row that are the backend's own.
#[derive(Debug, Clone, Default)]
struct Row {
    /// Connections that have failed.
    unreachable: u32,
    /// Wrong 101s, and what is held against a backend that was left out.
    wrong: u32,
    /// Handshakes that were not answered.
    silent: u32,
    /// Some of the networks that those came from.
    silent_from: Vec<Network>,
}

/// Clients that belong together as far as anybody can tell: an IPv4 network of 24 bits, an IPv6 one
/// of 48, which is what one customer may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Network(u64);

/// What each client network has met lately, of a bounded number of them.
#[derive(Debug, Clone, Default)]
struct Networks(HashMap<Network, Tally>);

#[derive(Debug, Clone, Copy)]
struct Tally {
    /// When it began.
    since: Instant,
    uses: u32,
    failures: u32,
}

#[derive(Debug, Clone, Copy)]
struct Absence {
    /// What it is for.
    reason: Seen,
    until: Instant,
    length: Duration,
}

/// As many networks as are kept of one backend; in a crowd of more, some speak for all.
const MAX_NETWORKS: usize = 256;

impl Outlier {
    pub(super) fn new(config: Ejection) -> Self {
        Self {
            config,
            row: Row::default(),
            networks: Networks::default(),
            last: None,
        }
    }

    /// The same under other rules: what was seen is not forgotten.
    pub(super) fn under(&self, config: Ejection) -> Self {
        Self {
            config,
            ..self.clone()
        }
    }

    /// Takes note of what `client` saw at `now`, and says whether the backend should be ejected.
    pub(super) fn note(&mut self, seen: Seen, client: IpAddr, now: Instant) -> bool {
        if self.is_out(now) {
            // What began before it was left out says nothing new.
            return false;
        }
        let network = Network::of(client);
        self.row.note(seen, network, self.config.networks.get());
        let is_failure = self.is_failure(seen);
        if is_failure || matches!(seen, Seen::Answered | Seen::Granted | Seen::Misfit) {
            let tally = self.networks.tally(network, self.config.window, now);
            tally.note(seen, is_failure);
        }
        is_failure && (self.fails_by_itself(now) || self.fails_for_most(now))
    }

    /// Leaves the backend out from `now` on, for what was seen last, and says until when.
    pub(super) fn eject(&mut self, reason: Seen, now: Instant) -> Instant {
        let Ejection { time, max_time, .. } = self.config;
        let length = match self.last {
            Some(last) if now < last.until + last.length => (last.length * 2).min(max_time),
            _ => time,
        };
        let until = now + length;
        self.last = Some(Absence {
            reason,
            until,
            length,
        });
        // It is on trial afterwards: one more failure of its own will do.
        self.row = Row {
            wrong: self.config.failures.get() - 1,
            ..Row::default()
        };
        self.networks.forget_failures();
        until
    }

    /// Whether the backend is left out at `now` for what `seen` shows to be no longer so.
    pub(super) fn is_refuted_by(&self, seen: Seen, now: Instant) -> bool {
        let absence = self.last.filter(|last| now < last.until);
        absence.is_some_and(|absence| {
            matches!(
                (absence.reason, seen),
                (Seen::Unreachable, Seen::Reached | Seen::Answered)
                    | (Seen::Silent | Seen::Wrong | Seen::Erred, Seen::Answered)
            )
        })
    }

    /// Takes the backend in again at `now`, if it is left out.
    pub(super) fn end(&mut self, now: Instant) {
        if let Some(last) = &mut self.last {
            last.until = last.until.min(now);
        }
    }

    fn is_failure(&self, seen: Seen) -> bool {
        match seen {
            Seen::Lost(age) => self.config.early_loss.is_some_and(|early| age < early),
            Seen::Unreachable | Seen::Silent | Seen::Wrong | Seen::Erred => true,
            Seen::Reached | Seen::Answered | Seen::Granted | Seen::Misfit => false,
        }
    }

    /// Whether enough has failed in a row that no client can bring about. A request that is never
    /// answered may be one client's own, so silence counts only if several networks have met it, or
    /// nobody else has been there.
    fn fails_by_itself(&self, now: Instant) -> bool {
        let limit = self.config.failures.get();
        let certain = self.row.unreachable.saturating_add(self.row.wrong);
        let present = self.networks.present(self.config.window, now).count();
        let enough = present.min(self.config.networks.get());
        certain >= limit
            || (certain.saturating_add(self.row.silent) >= limit
                && self.row.silent_from.len() >= enough)
    }

    /// Whether enough has failed lately for most of the networks that there were.
    fn fails_for_most(&self, now: Instant) -> bool {
        let Ejection {
            failures,
            networks,
            share,
            window,
            ..
        } = self.config;
        let mut failing = (0, 0_u32);
        let mut all = 0;
        for tally in self.networks.present(window, now) {
            all += usize::from(tally.uses > 0);
            if tally.is_failing() {
                failing = (failing.0 + 1, failing.1.saturating_add(tally.failures));
            }
        }
        failing.0 >= networks.get()
            && failing.0 * 100 >= all * share as usize
            && failing.1 >= failures.get()
    }

    fn is_out(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| now < last.until)
    }
}

impl Row {
    /// Goes on or breaks off. Remembers `most` networks at the most.
    fn note(&mut self, seen: Seen, network: Network, most: usize) {
        match seen {
            // Of handshakes it says nothing.
            Seen::Reached => self.unreachable = 0,
            Seen::Answered | Seen::Granted | Seen::Misfit => *self = Self::default(),
            // It has answered, if badly.
            Seen::Erred => {
                *self = Self {
                    wrong: self.wrong,
                    ..Self::default()
                }
            }
            Seen::Unreachable => self.unreachable = self.unreachable.saturating_add(1),
            Seen::Wrong => self.wrong = self.wrong.saturating_add(1),
            Seen::Silent => {
                self.silent = self.silent.saturating_add(1);
                if self.silent_from.len() < most && !self.silent_from.contains(&network) {
                    self.silent_from.push(network);
                }
            }
            Seen::Lost(_) => {}
        }
    }
}

impl Network {
    fn of(client: IpAddr) -> Self {
        match client.to_canonical() {
            IpAddr::V4(ip) => Self(u64::from(ip.to_bits() >> 8) | 1 << 63),
            // Of the 128 bits the first 48.
            IpAddr::V6(ip) => Self((ip.to_bits() >> 80) as u64),
        }
    }
}

impl Networks {
    /// The tally of a network, a new one if its own is over.
    fn tally(&mut self, network: Network, window: Duration, now: Instant) -> &mut Tally {
        if self.0.len() >= MAX_NETWORKS && !self.0.contains_key(&network) {
            self.make_room(window, now);
        }
        let new = Tally {
            since: now,
            uses: 0,
            failures: 0,
        };
        let tally = self.0.entry(network).or_insert(new);
        if !tally.is_present(window, now) {
            *tally = new;
        }
        tally
    }

    fn make_room(&mut self, window: Duration, now: Instant) {
        self.0.retain(|_, tally| tally.is_present(window, now));
        if self.0.len() >= MAX_NETWORKS {
            let oldest = self.0.iter().min_by_key(|(_, tally)| tally.since);
            if let Some(network) = oldest.map(|(network, _)| *network) {
                self.0.remove(&network);
            }
        }
    }

    fn present(&self, window: Duration, now: Instant) -> impl Iterator<Item = &Tally> {
        let tallies = self.0.values();
        tallies.filter(move |tally| tally.is_present(window, now))
    }

    /// Only who was there is remembered.
    fn forget_failures(&mut self) {
        for tally in self.0.values_mut() {
            (tally.uses, tally.failures) = (0, 0);
        }
    }
}

impl Tally {
    fn note(&mut self, seen: Seen, is_failure: bool) {
        if !matches!(seen, Seen::Lost(_)) {
            self.uses = self.uses.saturating_add(1);
        }
        self.failures = self.failures.saturating_add(u32::from(is_failure));
        // A tunnel that is lost may have been opened before this began.
        self.uses = self.uses.max(self.failures);
    }

    fn is_present(&self, window: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < window
    }

    /// Whether at least half of what it asked for has failed.
    fn is_failing(&self) -> bool {
        self.failures > 0 && self.failures >= self.uses - self.failures
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reached | Self::Answered | Self::Granted | Self::Misfit => "it works",
            Self::Unreachable => "connections fail",
            Self::Silent => "handshakes are not answered",
            Self::Wrong => "handshakes are granted wrongly",
            Self::Erred => "handshakes fail",
            Self::Lost(_) => "tunnels are lost early",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    const YOUNG: Seen = Seen::Lost(Duration::from_secs(1));
    const OLD: Seen = Seen::Lost(Duration::from_secs(60));
    const OTHERS: usize = 100;

    fn outlier() -> Outlier {
        Outlier::new(Ejection {
            failures: 3.try_into().unwrap(),
            ..Ejection::default()
        })
    }

    /// A client of the network with that number.
    fn client(network: usize) -> IpAddr {
        IpAddr::from([10, (network >> 8) as u8, network as u8, 1])
    }

    /// Which of those that a client saw one after the other should lead to an ejection.
    fn verdicts(outlier: &mut Outlier, seen: &[Seen], now: Instant) -> Vec<bool> {
        let mut verdict = |seen: &Seen| outlier.note(*seen, client(0), now);
        seen.iter().map(&mut verdict).collect()
    }

    /// The same for clients of as many networks, each of which sees all of that.
    fn verdict_from(outlier: &mut Outlier, networks: usize, seen: &[Seen], now: Instant) -> bool {
        let mut verdict = false;
        for network in 0..networks {
            for seen in seen {
                verdict |= outlier.note(*seen, client(network), now);
            }
        }
        verdict
    }

    /// Clients of a hundred other networks are served.
    fn serve_others(outlier: &mut Outlier, now: Instant) {
        for network in OTHERS..2 * OTHERS {
            assert!(!outlier.note(Seen::Granted, client(network), now));
        }
    }

    #[test]
    fn failures_of_its_own_in_a_row_eject_and_an_answer_breaks_the_row() {
        use Seen::{Answered, Granted, Misfit, Silent, Unreachable, Wrong};
        let now = Instant::now();
        let row = [Unreachable, Wrong, Silent];
        assert_eq!(verdicts(&mut outlier(), &row, now), [false, false, true]);
        for answer in [Answered, Granted, Misfit] {
            let row = [Unreachable, Wrong, answer, Unreachable, Silent];
            assert_eq!(verdicts(&mut outlier(), &row, now), [false; 5]);
        }
    }

    #[test]
    fn an_answer_to_a_plain_request_says_nothing_of_handshakes() {
        use Seen::{Reached, Unreachable, Wrong};
        let now = Instant::now();
        let row = [Wrong, Reached, Wrong, Reached, Wrong];
        assert!(verdicts(&mut outlier(), &row, now)[4]);
        let row = [Unreachable, Unreachable, Reached, Unreachable];
        assert!(!verdicts(&mut outlier(), &row, now)[3]);
    }

    #[test]
    fn what_one_client_can_ask_for_ejects_nobody_however_often_it_asks() {
        let now = Instant::now();
        for asked in [Seen::Erred, Seen::Misfit, YOUNG] {
            assert_eq!(verdicts(&mut outlier(), &[asked; 100], now), [false; 100]);
        }
    }

    #[test]
    fn addresses_of_one_network_are_one_client() {
        let now = Instant::now();
        for network in ["192.0.2.", "2001:db8:1:", "::ffff:192.0.2."] {
            let mut outlier = outlier();
            for last in 1..100 {
                let end = if network.ends_with('.') { "" } else { "::1" };
                let client = format!("{network}{last}{end}").parse().unwrap();
                assert!(!outlier.note(Seen::Erred, client, now), "{client}");
            }
        }
    }

    #[test]
    fn what_most_networks_meet_is_the_backends_fault() {
        let now = Instant::now();
        assert!(verdict_from(&mut outlier(), 3, &[Seen::Erred], now));
        let lost = [Seen::Granted, YOUNG];
        assert!(verdict_from(&mut outlier(), 3, &lost, now));
        assert!(!verdict_from(&mut outlier(), 2, &[Seen::Erred; 9], now));
    }

    #[test]
    fn a_few_networks_are_not_most_of_them_however_much_they_ask() {
        let now = Instant::now();
        let mut outlier = outlier();
        serve_others(&mut outlier, now);
        let asked = [Seen::Erred, Seen::Erred, Seen::Granted, YOUNG];
        assert!(!verdict_from(&mut outlier, OTHERS - 1, &asked, now));
        assert!(outlier.note(Seen::Erred, client(OTHERS - 1), now), "half");
    }

    #[test]
    fn a_network_for_which_most_goes_well_is_no_witness() {
        let now = Instant::now();
        let seen = [Seen::Granted, Seen::Granted, Seen::Granted, YOUNG];
        let mut outlier = outlier();
        for _ in 0..100 {
            assert!(!verdict_from(&mut outlier, 10, &seen, now));
        }
    }

    #[test]
    fn failures_that_are_long_ago_do_not_count() {
        let mut outlier = outlier();
        let now = Instant::now();
        assert!(!verdict_from(&mut outlier, 2, &[Seen::Erred; 9], now));
        let later = now + outlier.config.window;
        assert!(!outlier.note(Seen::Erred, client(7), later));
    }

    #[test]
    fn a_request_that_is_never_answered_may_be_the_fault_of_who_asks_for_it() {
        let now = Instant::now();
        let mut outlier = outlier();
        serve_others(&mut outlier, now);
        assert_eq!(
            verdicts(&mut outlier, &[Seen::Silent; 100], now),
            [false; 100]
        );
        assert!(!outlier.note(Seen::Silent, client(1), now));
        assert!(outlier.note(Seen::Silent, client(2), now));
    }

    #[test]
    fn with_networks_at_one_any_client_will_do() {
        let mut outlier = Outlier::new(Ejection {
            networks: NonZeroUsize::MIN,
            ..outlier().config
        });
        let row = [Seen::Erred; 3];
        let now = Instant::now();
        assert_eq!(verdicts(&mut outlier, &row, now), [false, false, true]);
    }

    #[test]
    fn tunnels_lost_late_are_no_failure() {
        let now = Instant::now();
        assert!(!verdict_from(&mut outlier(), 10, &[OLD; 10], now));
    }

    #[test]
    fn a_bounded_number_of_networks_is_kept() {
        let mut outlier = outlier();
        let now = Instant::now();
        for network in 0..10 * MAX_NETWORKS {
            outlier.note(Seen::Granted, client(network), now);
        }
        assert_eq!(outlier.networks.0.len(), MAX_NETWORKS);
        let later = now + outlier.config.window;
        outlier.note(Seen::Granted, client(0), later);
        outlier.note(Seen::Granted, client(10 * MAX_NETWORKS), later);
        assert!(outlier.networks.0.len() <= 2, "the others are forgotten");
    }

    #[test]
    fn what_comes_in_while_it_is_out_does_not_count() {
        let mut outlier = outlier();
        let now = Instant::now();
        let until = outlier.eject(Seen::Unreachable, now);
        let just_before = until - Duration::from_millis(1);
        assert_eq!(
            verdicts(&mut outlier, &[Seen::Unreachable; 9], just_before),
            [false; 9]
        );
    }

    #[test]
    fn after_its_return_one_failure_ejects_again_unless_something_succeeded() {
        let mut outlier = outlier();
        let until = outlier.eject(Seen::Unreachable, Instant::now());
        assert_eq!(
            verdicts(&mut outlier, &[Seen::Erred, YOUNG], until),
            [false; 2]
        );
        assert!(outlier.note(Seen::Unreachable, client(0), until));
        outlier.note(Seen::Granted, client(0), until);
        assert!(!outlier.note(Seen::Unreachable, client(0), until));
    }

    #[test]
    fn a_backend_that_is_taken_in_again_is_on_trial_at_once() {
        let mut outlier = outlier();
        let now = Instant::now();
        outlier.eject(Seen::Unreachable, now);
        outlier.end(now + Duration::from_secs(1));
        let then = now + Duration::from_secs(1);
        assert!(outlier.note(Seen::Unreachable, client(0), then));
        let next = outlier.eject(Seen::Unreachable, then);
        assert_eq!((next - now).as_secs(), 61, "it has not served for long");
    }

    #[test]
    fn an_ejection_is_refuted_only_by_what_shows_that_its_reason_is_gone() {
        use Seen::{Answered, Erred, Reached, Silent, Unreachable, Wrong};
        let now = Instant::now();
        for (reason, seen, expected) in [
            (Unreachable, Reached, true),
            (Unreachable, Answered, true),
            (Silent, Reached, false),
            (Wrong, Reached, false),
            (Erred, Reached, false),
            (Silent, Answered, true),
            (Wrong, Answered, true),
            (Erred, Answered, true),
            (YOUNG, Answered, false),
        ] {
            let mut outlier = outlier();
            assert!(!outlier.is_refuted_by(seen, now), "it is not left out");
            let until = outlier.eject(reason, now);
            assert_eq!(
                outlier.is_refuted_by(seen, now),
                expected,
                "{reason} {seen:?}"
            );
            assert!(!outlier.is_refuted_by(seen, until), "it is over");
        }
    }

    #[test]
    fn each_ejection_in_a_row_is_twice_as_long_up_to_the_longest() {
        let mut outlier = outlier();
        let mut now = Instant::now();
        let mut lengths = Vec::new();
        for _ in 0..6 {
            let until = outlier.eject(Seen::Unreachable, now);
            lengths.push((until - now).as_secs());
            now = until;
        }
        assert_eq!(lengths, [30, 60, 120, 240, 300, 300]);

        now += Duration::from_secs(300);
        assert_eq!(
            (outlier.eject(Seen::Unreachable, now) - now).as_secs(),
            30,
            "it had served that long"
        );
    }
}
