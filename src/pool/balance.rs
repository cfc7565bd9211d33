//! How a new client gets a backend.

use std::{
    cmp::Ordering,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use rand::RngExt;
use tokio::time::Instant;

use super::{backend::Backend, standing::FULL};
use crate::config::{self, Balance};

/// A pool's way to choose, with what it remembers from choice to choice.
#[derive(Debug)]
pub struct Balancer {
    balance: Balance,
    /// Indices of backends, each as often as its weight says, well mixed.
    schedule: Vec<usize>,
    /// Whose turn it is to be chosen first for a client.
    turn: AtomicUsize,
    /// Whose turn it is to help out where another has failed: that must not change whose turn it is
    /// otherwise, or the one that fails could be the first for everybody.
    substitute: AtomicUsize,
}

/// What a backend is chosen for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// To be the first that is tried.
    First,
    /// To be tried after others.
    Substitute,
}

impl Balancer {
    /// A balancer between `backends`.
    #[must_use]
    pub fn new(balance: Balance, backends: &[config::Backend]) -> Self {
        let weights: Vec<u32> = backends.iter().map(|b| b.weight.get()).collect();
        Self {
            balance,
            schedule: smooth_schedule(&weights),
            turn: AtomicUsize::new(0),
            substitute: AtomicUsize::new(0),
        }
    }

    /// The index of one of those backends that `takes` allows at `now`.
    pub fn choose(
        &self,
        backends: &[Arc<Backend>],
        takes: impl Fn(usize) -> bool,
        choice: Choice,
        now: Instant,
    ) -> Option<usize> {
        let by_load = |a: &usize, b: &usize| by_load(&backends[*a], &backends[*b], now);

        match self.balance {
            Balance::RoundRobin => {
                let turn = || self.whose_turn(&takes, choice);
                let mut turns = (0..self.schedule.len()).map_while(|_| turn());
                let drawn = turns.find(|index| is_drawn(backends[*index].parts(now)));
                drawn.or_else(turn)
            }
            // Among equals the turn decides, or the first would get every first client.
            Balance::LeastTunnels => self
                .in_turn(choice)
                .filter(|index| takes(*index))
                .min_by(by_load),
            Balance::RandomOfTwo => {
                // One that is coming back takes only the fraction of its turns that its share is of
                // all.
                let shares = backends.iter().map(|backend| backend.parts(now));
                let turns: Vec<_> = shares.map(is_drawn).collect();
                let takes_turn = |index: usize| takes(index) && turns[index];
                let one = self.draw(takes_turn).or_else(|| self.draw(&takes))?;
                let other = self.draw(|index| index != one && takes_turn(index));
                [Some(one), other].into_iter().flatten().min_by(by_load)
            }
        }
    }

    /// The schedule once around, from the next turn on.
    fn in_turn(&self, choice: Choice) -> impl Iterator<Item = usize> {
        let (before, after) = self
            .schedule
            .split_at(self.turn(choice, self.schedule.len()));
        after.iter().chain(before).copied()
    }

    /// The next in turn, of a schedule of those alone that `takes` allows: were the others passed
    /// over, who stands behind one would get its share.
    fn whose_turn(&self, takes: impl Fn(usize) -> bool, choice: Choice) -> Option<usize> {
        let allowed = || self.schedule.iter().copied().filter(|index| takes(*index));
        let count = allowed().count();
        (count > 0).then(|| allowed().nth(self.turn(choice, count)))?
    }

    fn turn(&self, choice: Choice, count: usize) -> usize {
        let counter = match choice {
            Choice::First => &self.turn,
            Choice::Substitute => &self.substitute,
        };
        counter.fetch_add(1, Relaxed) % count
    }

    /// One of those that `takes` allows, as likely as its weight says.
    fn draw(&self, takes: impl Fn(usize) -> bool) -> Option<usize> {
        let allowed = || self.schedule.iter().filter(|index| takes(**index));
        let count = allowed().count();
        (count > 0).then(|| allowed().nth(rand::rng().random_range(0..count)).copied())?
    }
}

/// Compares what each would carry for its weight with one use more. Among those that carry nothing
/// none is better: or else the heaviest alone would get the requests that come one by one.
fn by_load(a: &Backend, b: &Backend, now: Instant) -> Ordering {
    let burden = |of: &Backend, other: &Backend| match of.load() as u64 {
        0 => 0,
        load => (load + 1) * u64::from(other.weight().get()) * other.parts(now),
    };
    burden(a, b).cmp(&burden(b, a))
}

/// True as often as `share` is of a full one.
fn is_drawn(share: u64) -> bool {
    share >= FULL || rand::rng().random_range(0..FULL) < share
}

/// Indices in which each stands as often as its weight, spread evenly: at every step each gains its
/// weight, and the richest is taken and pays for all.
fn smooth_schedule(weights: &[u32]) -> Vec<usize> {
    let divisor = weights
        .iter()
        .copied()
        .fold(0, greatest_common_divisor)
        .max(1);
    let weights: Vec<_> = weights
        .iter()
        .map(|weight| i64::from(weight / divisor))
        .collect();
    let total: i64 = weights.iter().sum();
    let mut credit = vec![0; weights.len()];
    let step = |_| {
        for (credit, weight) in credit.iter_mut().zip(&weights) {
            *credit += weight;
        }
        // The first of the richest; `max_by_key` alone would take the last.
        let richest = (0..credit.len()).rev().max_by_key(|index| credit[*index])?;
        credit[richest] -= total;
        Some(richest)
    };
    (0..total).filter_map(step).collect()
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{
        config::Config,
        pool::{
            Pool,
            backend::{Lease, Use},
        },
    };

    /// Backends of those weights, with the leases of as many uses as stand beside them.
    fn backends(weights_and_uses: &[(u32, usize)]) -> (Vec<Arc<Backend>>, Vec<Lease>) {
        let entries = weights_and_uses.iter().zip(1..);
        let entries = entries.map(|((weight, _), port)| {
            format!("{{ address = \"127.0.0.1:{port}\", weight = {weight} }}")
        });
        let entries: Vec<_> = entries.collect();
        let text = format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npool = \"a\"\n\
             [pool.a]\nbackends = [{}]",
            entries.join(", ")
        );
        let config = Config::parse(&text, "test", Path::new("")).unwrap();
        let pool = Pool::new(&config.pools[0], &config.timeouts, &config.limits, 1).unwrap();
        let backends = pool.backends().to_vec();
        let uses = backends.iter().zip(weights_and_uses);
        let leases = uses.flat_map(|(backend, (_, uses))| {
            (0..*uses).filter_map(|_| Lease::of(backend, Use::Tunnel))
        });
        let leases = leases.collect();
        (backends, leases)
    }

    /// How the first compares with the second, given the weight and the uses of each.
    fn compared(a: (u32, usize), b: (u32, usize)) -> Ordering {
        let (backends, _leases) = backends(&[a, b]);
        by_load(&backends[0], &backends[1], Instant::now())
    }

    #[test]
    fn the_schedule_mixes_the_heavy_with_the_light() {
        assert_eq!(smooth_schedule(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(smooth_schedule(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(
            smooth_schedule(&[2, 4]),
            [1, 0, 1],
            "no longer than need be"
        );
        assert_eq!(smooth_schedule(&[1]), [0]);
    }

    #[test]
    fn whoever_would_carry_less_for_its_weight_comes_first() {
        assert_eq!(compared((1, 1), (1, 2)), Ordering::Less);
        assert_eq!(compared((1, 2), (1, 2)), Ordering::Equal);
        assert_eq!(compared((1, 1), (3, 4)), Ordering::Greater);
        assert_eq!(compared((1, 1), (3, 5)), Ordering::Equal);
        assert_eq!(compared((1, 1), (3, 6)), Ordering::Less);
    }

    #[test]
    fn those_that_carry_nothing_are_equal_and_come_before_all_others() {
        assert_eq!(compared((1, 0), (100, 0)), Ordering::Equal);
        assert_eq!(compared((1, 0), (100, 1)), Ordering::Less);
    }

    #[test]
    fn a_choice_is_one_of_those_allowed_or_none() {
        let (backends, _leases) = backends(&[(1, 0), (3, 5), (2, 1)]);
        let now = Instant::now();
        let config = [1, 3, 2].map(|weight| config::Backend {
            weight: weight.try_into().unwrap(),
            ..config::Backend::at(backends[0].address().clone())
        });
        for balance in [
            Balance::RoundRobin,
            Balance::LeastTunnels,
            Balance::RandomOfTwo,
        ] {
            let balancer = Balancer::new(balance, &config);
            for allowed in 0..3 {
                for _ in 0..10 {
                    let chosen =
                        balancer.choose(&backends, |index| index == allowed, Choice::First, now);
                    assert_eq!(chosen, Some(allowed), "{balance}");
                }
            }
            let none = balancer.choose(&backends, |_| false, Choice::First, now);
            assert_eq!(none, None, "{balance}");
        }
    }

    proptest! {
        #[test]
        fn each_stands_in_the_schedule_as_often_as_its_weight(weights in vec(1u32..=100, 1..8)) {
            let schedule = smooth_schedule(&weights);
            for (index, weight) in weights.iter().enumerate() {
                let count = schedule.iter().filter(|i| **i == index).count();
                let divisor = weights.iter().copied().fold(0, greatest_common_divisor);
                prop_assert_eq!(count, (*weight / divisor) as usize);
            }
        }

        #[test]
        fn the_heaviest_never_waits_longer_than_its_share(weights in vec(1u32..=100, 1..8)) {
            let schedule = smooth_schedule(&weights);
            let total = schedule.len();
            let heaviest = (0..weights.len()).max_by_key(|index| weights[*index]).unwrap();
            let turns = schedule.iter().filter(|index| **index == heaviest).count();
            let longest = total.div_ceil(turns) + weights.len();
            let gaps = schedule.split(|index| *index == heaviest).map(<[usize]>::len);
            prop_assert!(gaps.max().unwrap() <= longest);
        }
    }
}
