//! Ejection of a backend, from the failures that traffic meets on it.

use std::{fmt, time::Duration};

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
    /// It could not be connected to.
    Unreachable,
    /// It has answered a handshake with an error, wrongly, too late or not at all.
    BadHandshake,
    /// It has left a tunnel of that age without a Close.
    Lost(Duration),
}

/// What was seen of one backend. It decides when the backend is to be left out; that others are left
/// to take its place, whoever asks has to see to.
#[derive(Debug)]
pub(super) struct Outlier {
    config: Ejection,
    /// Connections in a row that have failed.
    unreachable: u32,
    /// Handshakes in a row that have failed over a connection.
    refused: u32,
    losses: Losses,
    /// The last time that it was left out, if it ever was.
    last: Option<Absence>,
}

/// Tunnels that were lost early, since they were last few among those opened.
#[derive(Debug, Clone, Copy, Default)]
struct Losses {
    lost: u32,
    /// Tunnels opened since the first of them.
    opened: u32,
}

#[derive(Debug, Clone, Copy)]
struct Absence {
    /// What it is for.
    reason: Seen,
    until: Instant,
    length: Duration,
}

impl Outlier {
    pub(super) fn new(config: Ejection) -> Self {
        Self {
            config,
            unreachable: 0,
            refused: 0,
            losses: Losses::default(),
            last: None,
        }
    }

    /// The same under other rules: what was seen is not forgotten.
    pub(super) fn under(&self, config: Ejection) -> Self {
        Self { config, ..*self }
    }

    /// Takes note of what was seen at `now`, and says whether the backend should be ejected.
    pub(super) fn note(&mut self, seen: Seen, now: Instant) -> bool {
        if self.is_out(now) {
            // What began before it was left out says nothing new.
            return false;
        }
        let limit = self.config.failures.get();
        match seen {
            // Of handshakes it says nothing.
            Seen::Reached => self.unreachable = 0,
            Seen::Answered => (self.unreachable, self.refused) = (0, 0),
            Seen::Granted => {
                (self.unreachable, self.refused) = (0, 0);
                self.losses.opened = self.losses.opened.saturating_add(1);
            }
            Seen::Unreachable => {
                self.unreachable = self.unreachable.saturating_add(1);
                return self.failures() >= limit;
            }
            Seen::BadHandshake => {
                self.refused = self.refused.saturating_add(1);
                return self.failures() >= limit;
            }
            Seen::Lost(age) if self.is_early(age) => {
                self.losses.add();
                return self.losses.lost >= limit;
            }
            Seen::Lost(_) => {}
        }
        false
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
        // It is on trial afterwards: one more failure of the kind will do.
        self.unreachable = 0;
        self.refused = self.config.failures.get() - 1;
        self.losses = Losses::default();
        until
    }

    /// Whether the backend is left out at `now` for what `seen` shows to be no longer so.
    pub(super) fn is_refuted_by(&self, seen: Seen, now: Instant) -> bool {
        let absence = self.last.filter(|last| now < last.until);
        absence.is_some_and(|absence| {
            matches!(
                (absence.reason, seen),
                (Seen::Unreachable, Seen::Reached | Seen::Answered)
                    | (Seen::BadHandshake, Seen::Answered)
            )
        })
    }

    /// Takes the backend in again at `now`, if it is left out.
    pub(super) fn end(&mut self, now: Instant) {
        if let Some(last) = &mut self.last {
            last.until = last.until.min(now);
        }
    }

    fn failures(&self) -> u32 {
        self.unreachable.saturating_add(self.refused)
    }

    fn is_out(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| now < last.until)
    }

    fn is_early(&self, age: Duration) -> bool {
        self.config.early_loss.is_some_and(|early| age < early)
    }
}

impl Losses {
    fn add(&mut self) {
        if self.lost.saturating_add(1).saturating_mul(2) < self.opened {
            // They are few among many that live.
            *self = Self::default();
        }
        self.lost += 1;
        // The first one was opened too, before this began to count.
        self.opened = self.opened.max(1);
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reached | Self::Answered | Self::Granted => "it works",
            Self::Unreachable => "connections fail",
            Self::BadHandshake => "handshakes fail",
            Self::Lost(_) => "tunnels are lost early",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YOUNG: Seen = Seen::Lost(Duration::from_secs(1));
    const OLD: Seen = Seen::Lost(Duration::from_secs(60));

    fn outlier() -> Outlier {
        Outlier::new(Ejection {
            failures: 3.try_into().unwrap(),
            ..Ejection::default()
        })
    }

    /// Which of those that were seen one after the other should lead to an ejection.
    fn verdicts(outlier: &mut Outlier, seen: &[Seen], now: Instant) -> Vec<bool> {
        seen.iter().map(|seen| outlier.note(*seen, now)).collect()
    }

    #[test]
    fn failures_in_a_row_eject_and_an_answer_breaks_the_row() {
        use Seen::{Answered, BadHandshake, Granted, Unreachable};
        let now = Instant::now();
        let row = [Unreachable, BadHandshake, Unreachable];
        assert_eq!(verdicts(&mut outlier(), &row, now), [false, false, true]);
        for answer in [Answered, Granted] {
            let row = [Unreachable, BadHandshake, answer, Unreachable, BadHandshake];
            assert_eq!(verdicts(&mut outlier(), &row, now), [false; 5]);
        }
    }

    #[test]
    fn an_answer_to_a_plain_request_says_nothing_of_handshakes() {
        use Seen::{BadHandshake, Reached, Unreachable};
        let now = Instant::now();
        let row = [BadHandshake, Reached, BadHandshake, Reached, BadHandshake];
        assert!(verdicts(&mut outlier(), &row, now)[4]);
        let row = [Unreachable, Unreachable, Reached, Unreachable];
        assert!(!verdicts(&mut outlier(), &row, now)[3]);
    }

    #[test]
    fn tunnels_lost_early_eject_though_each_handshake_was_granted() {
        use Seen::Granted;
        let now = Instant::now();
        let row = [Granted, YOUNG, Granted, YOUNG, Granted, YOUNG];
        assert!(verdicts(&mut outlier(), &row, now)[5]);
        let all_at_once = [Granted, Granted, Granted, YOUNG, YOUNG, YOUNG];
        assert!(verdicts(&mut outlier(), &all_at_once, now)[5]);
    }

    #[test]
    fn tunnels_lost_late_are_no_failure() {
        let row = [OLD; 10];
        assert_eq!(verdicts(&mut outlier(), &row, Instant::now()), [false; 10]);
    }

    #[test]
    fn a_few_early_losses_among_many_tunnels_are_no_failure() {
        let mut outlier = outlier();
        let now = Instant::now();
        for _ in 0..100 {
            let row = [Seen::Granted, Seen::Granted, Seen::Granted, YOUNG];
            assert_eq!(verdicts(&mut outlier, &row, now), [false; 4]);
        }
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
        assert!(outlier.note(Seen::Unreachable, until));
        outlier.note(Seen::Granted, until);
        assert!(!outlier.note(Seen::Unreachable, until));
    }

    #[test]
    fn a_backend_that_is_taken_in_again_is_on_trial_at_once() {
        let mut outlier = outlier();
        let now = Instant::now();
        outlier.eject(Seen::Unreachable, now);
        outlier.end(now + Duration::from_secs(1));
        assert!(outlier.note(Seen::Unreachable, now + Duration::from_secs(1)));
        let next = outlier.eject(Seen::Unreachable, now + Duration::from_secs(1));
        assert_eq!((next - now).as_secs(), 61, "it has not served for long");
    }

    #[test]
    fn an_ejection_is_refuted_only_by_what_shows_that_its_reason_is_gone() {
        use Seen::{Answered, BadHandshake, Reached, Unreachable};
        let now = Instant::now();
        for (reason, seen, expected) in [
            (Unreachable, Reached, true),
            (Unreachable, Answered, true),
            (BadHandshake, Reached, false),
            (BadHandshake, Answered, true),
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
