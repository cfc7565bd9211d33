//! How many results in a row turn a backend's state.

use std::num::NonZeroUsize;

/// The state of a backend as its checks have it, and the results in a row that speak against it.
#[derive(Debug)]
pub(super) struct Count {
    rises: NonZeroUsize,
    falls: NonZeroUsize,
    is_up: bool,
    against: usize,
}

/// A turn of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flip {
    Up,
    Down,
}

impl Count {
    /// Of a backend that is up: nothing has spoken against it yet.
    pub(super) fn up(rises: NonZeroUsize, falls: NonZeroUsize) -> Self {
        Self {
            rises,
            falls,
            is_up: true,
            against: 0,
        }
    }

    /// It is known from elsewhere whether the backend is up; if that is news, it is counted anew.
    pub(super) fn agree(&mut self, is_up: bool) {
        if self.is_up != is_up {
            self.is_up = is_up;
            self.against = 0;
        }
    }

    /// A check has succeeded.
    pub(super) fn succeeded(&mut self) -> Option<Flip> {
        self.note(true)
    }

    /// A check has failed.
    pub(super) fn failed(&mut self) -> Option<Flip> {
        self.note(false)
    }

    fn note(&mut self, is_well: bool) -> Option<Flip> {
        if is_well == self.is_up {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let (needed, flip) = if is_well {
            (self.rises, Flip::Up)
        } else {
            (self.falls, Flip::Down)
        };
        if self.against < needed.get() {
            return None;
        }
        self.is_up = is_well;
        self.against = 0;
        Some(flip)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What each result brings: `+` is a success, `-` a failure; `U` and `D` are flips.
    fn flips(rises: usize, falls: usize, results: &str) -> String {
        let of = |count| NonZeroUsize::new(count).unwrap();
        let mut count = Count::up(of(rises), of(falls));
        let flip = |result| match result {
            '+' => count.succeeded(),
            _ => count.failed(),
        };
        let shown = |flip| match flip {
            Some(Flip::Up) => 'U',
            Some(Flip::Down) => 'D',
            None => '.',
        };
        results.chars().map(flip).map(shown).collect()
    }

    #[test]
    fn only_results_in_a_row_turn_a_state() {
        assert_eq!(flips(2, 3, "---"), "..D");
        assert_eq!(flips(2, 3, "--+--+--+---"), "...........D");
        assert_eq!(flips(2, 3, "---+-+-++"), "..D.....U");
        assert_eq!(flips(2, 3, "---++---++"), "..D.U..D.U");
    }

    #[test]
    fn a_backend_that_was_down_before_comes_up_by_successes() {
        let two = NonZeroUsize::new(2).unwrap();
        let mut count = Count::up(two, two);
        assert_eq!(count.failed(), None);
        count.agree(false);
        assert_eq!(count.failed(), None);
        assert_eq!(count.succeeded(), None);
        count.agree(false);
        assert_eq!(count.succeeded(), Some(Flip::Up));
    }

    #[test]
    fn a_state_turns_once() {
        assert_eq!(flips(1, 1, "+--++-"), ".D.U.D");
        assert_eq!(flips(3, 2, "+++++-----"), "......D...");
    }

    proptest! {
        #[test]
        fn a_flip_comes_exactly_when_the_last_results_all_say_so(
            rises in 1_usize..5,
            falls in 1_usize..5,
            results in "[+-]{0,60}",
        ) {
            let mut is_up = true;
            let mut since = 0;
            for (at, flip) in flips(rises, falls, &results).chars().enumerate() {
                let (needed, word, sign) = if is_up { (falls, 'D', "-") } else { (rises, 'U', "+") };
                let seen = &results[since..=at];
                let is_due = seen.ends_with(&sign.repeat(needed));
                prop_assert_eq!(flip, if is_due { word } else { '.' });
                if is_due {
                    is_up = !is_up;
                    since = at + 1;
                }
            }
        }
    }
}
