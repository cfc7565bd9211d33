//! How a new client gets a backend.

use std::{
    cmp::Ordering,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use rand::RngExt;

use super::backend::Backend;
use crate::config::{self, Balance};

/// A pool's way to choose, with what it remembers from choice to choice.
#[derive(Debug)]
pub struct Balancer {
    balance: Balance,
    /// Indices of backends, each as often as its weight says, well mixed.
    schedule: Vec<usize>,
    /// Where in the schedule the next choice begins.
    turn: AtomicUsize,
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
        }
    }

    /// The index of one of those backends that `takes` allows.
    pub fn choose(
        &self,
        backends: &[Arc<Backend>],
        takes: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        match self.balance {
            Balance::RoundRobin => self.in_turn().find(|index| takes(*index)),
            // Among equals the turn decides, or the first would get every first client.
            Balance::LeastTunnels => self
                .in_turn()
                .filter(|index| takes(*index))
                .min_by(|a, b| by_load(&backends[*a], &backends[*b])),
            Balance::RandomOfTwo => self.better_of_two(backends, takes),
        }
    }

    /// The schedule once around, from the next turn on.
    fn in_turn(&self) -> impl Iterator<Item = usize> {
        let turn = self.turn.fetch_add(1, Relaxed) % self.schedule.len();
        let (before, after) = self.schedule.split_at(turn);
        after.iter().chain(before).copied()
    }

    fn better_of_two(
        &self,
        backends: &[Arc<Backend>],
        takes: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let one = self.draw(&takes)?;
        let other = self.draw(|index| index != one && takes(index));
        let both = [Some(one), other].into_iter().flatten();
        both.min_by(|a, b| by_load(&backends[*a], &backends[*b]))
    }

    /// One of those that `takes` allows, as likely as its weight says.
    fn draw(&self, takes: impl Fn(usize) -> bool) -> Option<usize> {
        let allowed = || self.schedule.iter().filter(|index| takes(**index));
        let count = allowed().count();
        (count > 0).then(|| allowed().nth(rand::rng().random_range(0..count)).copied())?
    }
}

/// Compares what each would carry for its weight with one use more.
fn by_load(a: &Backend, b: &Backend) -> Ordering {
    let share =
        |of: &Backend, other: &Backend| (of.load() as u64 + 1) * u64::from(other.weight().get());
    share(a, b).cmp(&share(b, a))
}

/// Indices in which each stands as often as its weight, spread evenly: at every step each gains its
/// weight, and the richest is taken and pays for all.
fn smooth_schedule(weights: &[u32]) -> Vec<usize> {
    let total: i64 = weights.iter().map(|w| i64::from(*w)).sum();
    let mut credit = vec![0; weights.len()];
    let step = |_| {
        for (credit, weight) in credit.iter_mut().zip(weights) {
            *credit += i64::from(*weight);
        }
        // The first of the richest; `max_by_key` alone would take the last.
        let richest = (0..credit.len()).rev().max_by_key(|index| credit[*index])?;
        credit[richest] -= total;
        Some(richest)
    };
    (0..total).filter_map(step).collect()
}
