//! A gate: so many a second and so many at once come in, a bounded line waits for a bounded time,
//! and the rest is refused.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until, timeout_at},
};

use super::bucket::Bucket;
use crate::config;

/// A gate with its line. Whoever is first in the line waits for a place and then for a token, so
/// all that a waiter holds is its place in the line, and one that leaves gives everything back.
#[derive(Debug)]
pub struct Gate {
    bucket: Option<Mutex<Bucket>>,
    places: Option<Places>,
    line: Line,
    patience: Duration,
}

/// How many may be inside at once.
#[derive(Debug)]
struct Places {
    free: Arc<Semaphore>,
    total: NonZeroUsize,
}

/// Those who wait, in the order in which they came.
#[derive(Debug)]
struct Line {
    max: usize,
    waiting: AtomicUsize,
    /// The one permit is for who is first.
    first: Semaphore,
}

/// The right to be inside, until dropped.
#[derive(Debug)]
pub struct Pass {
    _place: Option<OwnedSemaphorePermit>,
}

/// The line is too long, or took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// A place in the line.
struct Waiter<'g> {
    line: &'g Line,
    ahead: usize,
}

/// A token that is given back unless it is used.
struct Reservation<'g> {
    bucket: &'g Mutex<Bucket>,
    at: Instant,
    is_used: bool,
}

/// The semaphores of a gate are never closed.
const OPEN: &str = "a gate is never torn down";

impl Gate {
    /// A gate as configured, with nobody inside.
    #[must_use]
    pub fn new(config: &config::Gate, now: Instant) -> Self {
        Self {
            bucket: config.rate.map(|rate| Mutex::new(Bucket::new(rate, now))),
            places: config.handshakes.map(|total| Places {
                free: Arc::new(Semaphore::new(total.get())),
                total,
            }),
            line: Line {
                max: config.queue,
                waiting: AtomicUsize::new(0),
                first: Semaphore::new(1),
            },
            patience: config.queue_timeout,
        }
    }

    /// Whether anybody may ever have to wait.
    #[must_use]
    pub fn has_limit(&self) -> bool {
        self.bucket.is_some() || self.places.is_some()
    }

    /// Whether one more would come in at `now` without waiting.
    #[must_use]
    pub fn is_open(&self, now: Instant) -> bool {
        self.line.is_empty() && self.has_token(now) && self.has_place()
    }

    /// Comes in if nobody has to wait.
    #[must_use]
    pub fn try_enter(&self, now: Instant) -> Option<Pass> {
        if !self.line.is_empty() {
            return None;
        }
        // Both under the lock: or else a place taken in vain would turn another away meanwhile.
        let mut bucket = self.bucket.as_ref().map(locked);
        let has_token = |bucket: &Bucket| bucket.next_at(now, 0) <= now;
        if !bucket.as_deref().is_none_or(has_token) {
            return None;
        }
        let place = match &self.places {
            Some(places) => Some(Arc::clone(&places.free).try_acquire_owned().ok()?),
            None => None,
        };
        if let Some(bucket) = &mut bucket {
            bucket.take(now);
        }
        Some(Pass { _place: place })
    }

    /// Comes in, waiting in the line if there is one.
    ///
    /// # Errors
    /// If the line is full, or if it takes or would take too long.
    pub async fn enter(&self) -> Result<Pass, Refused> {
        let now = Instant::now();
        if let Some(pass) = self.try_enter(now) {
            return Ok(pass);
        }
        let deadline = now + self.patience;
        let waiter = self.line.join()?;
        if self.is_hopeless(&waiter, now, deadline) {
            return Err(Refused);
        }
        let entered = timeout_at(deadline, self.take_turn(deadline)).await;
        entered.unwrap_or(Err(Refused))
    }

    /// Whether nobody is inside or waits, and nothing is left of what anybody did: a new gate would
    /// be no other.
    #[must_use]
    pub fn is_as_new(&self, now: Instant) -> bool {
        let is_full = |bucket: &Mutex<Bucket>| locked(bucket).is_full(now);
        let is_empty = |places: &Places| places.free.available_permits() == places.total.get();
        self.line.is_empty()
            && self.bucket.as_ref().is_none_or(is_full)
            && self.places.as_ref().is_none_or(is_empty)
    }

    /// Whether there will be no token in time even if everybody ahead comes in as soon as the rate
    /// allows.
    fn is_hopeless(&self, waiter: &Waiter<'_>, now: Instant, deadline: Instant) -> bool {
        let comes_late =
            |bucket: &Mutex<Bucket>| locked(bucket).next_at(now, waiter.ahead) > deadline;
        self.bucket.as_ref().is_some_and(comes_late)
    }

    /// Waits until it is first, then for a place, then for a token.
    async fn take_turn(&self, deadline: Instant) -> Result<Pass, Refused> {
        let _first = self.line.first.acquire().await.expect(OPEN);
        let place = match &self.places {
            Some(places) => Some(Arc::clone(&places.free).acquire_owned().await.expect(OPEN)),
            None => None,
        };
        if let Some(bucket) = &self.bucket {
            let reserved = Reservation::before(deadline, bucket).ok_or(Refused)?;
            // Whoever is late by the clock's grain does not make the next one late: the token was
            // taken for when it is there, not for when its taker is woken.
            if reserved.at > Instant::now() {
                sleep_until(reserved.at).await;
            }
            reserved.use_up();
        }
        Ok(Pass { _place: place })
    }

    fn has_token(&self, now: Instant) -> bool {
        let has_one = |bucket: &Mutex<Bucket>| locked(bucket).next_at(now, 0) <= now;
        self.bucket.as_ref().is_none_or(has_one)
    }

    fn has_place(&self) -> bool {
        let places = self.places.as_ref();
        places.is_none_or(|places| places.free.available_permits() > 0)
    }
}

fn locked(bucket: &Mutex<Bucket>) -> MutexGuard<'_, Bucket> {
    bucket.lock().expect("no holder panics")
}

impl Pass {
    /// A pass where there is no gate.
    pub(super) fn without_gate() -> Self {
        Self { _place: None }
    }
}

impl Line {
    fn is_empty(&self) -> bool {
        self.waiting.load(Relaxed) == 0
    }

    /// A place at its end, if it has not reached its full length.
    fn join(&self) -> Result<Waiter<'_>, Refused> {
        let joined = self.waiting.fetch_update(Relaxed, Relaxed, |count| {
            (count < self.max).then_some(count + 1)
        });
        joined
            .map(|ahead| Waiter { line: self, ahead })
            .map_err(|_| Refused)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.line.waiting.fetch_sub(1, Relaxed);
    }
}

impl<'g> Reservation<'g> {
    /// The next token, if it is there before `deadline`.
    fn before(deadline: Instant, bucket: &'g Mutex<Bucket>) -> Option<Self> {
        let now = Instant::now();
        let mut locked = locked(bucket);
        let at = locked.next_at(now, 0);
        (at <= deadline).then(|| {
            locked.reserve(now);
            Self {
                bucket,
                at,
                is_used: false,
            }
        })
    }

    fn use_up(mut self) {
        locked(self.bucket).use_reserved();
        self.is_used = true;
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if !self.is_used {
            locked(self.bucket).give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::RefCell,
        num::NonZeroU32,
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use futures_util::{future::join_all, poll};
    use rand::RngExt;
    use tokio::{
        task::JoinSet,
        time::{advance, sleep, timeout},
    };

    use super::*;

    /// Nobody is limited; the line is long and patient.
    const OPEN: config::Gate = config::Gate {
        rate: None,
        handshakes: None,
        queue: 10_000,
        queue_timeout: Duration::from_secs(3_600),
    };

    fn gate(config: config::Gate) -> Gate {
        Gate::new(&config, Instant::now())
    }

    fn rate(per_second: u32, burst: u32) -> Option<config::Rate> {
        Some(config::Rate {
            per_second: NonZeroU32::new(per_second).unwrap(),
            burst: NonZeroU32::new(burst).unwrap(),
        })
    }

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// Enters at `now` without waiting, or panics.
    fn enter(gate: &Gate) -> Pass {
        gate.try_enter(Instant::now()).expect("it is open")
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_comes_in_at_the_rate_and_in_its_order() {
        let start = Instant::now();
        let gate = gate(config::Gate {
            rate: rate(10, 2),
            ..OPEN
        });
        let entries = RefCell::new(Vec::new());
        let crowd = (0..12).map(async |index| {
            let _pass = gate.enter().await.unwrap();
            entries.borrow_mut().push((index, start.elapsed()));
        });
        join_all(crowd).await;
        let expected = (0..12).map(|index| (index, millis(100) * (index.max(1) - 1)));
        assert_eq!(entries.take(), expected.collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_finer_than_the_clock_is_kept_all_the_same() {
        let start = Instant::now();
        let gate = gate(config::Gate {
            rate: rate(3_000, 300),
            ..OPEN
        });
        join_all((0..6_300).map(|_| gate.enter())).await;
        let took = start.elapsed();
        assert!((millis(2_000)..=millis(2_002)).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_finds_the_line_full_is_refused_at_once() {
        let gate = gate(config::Gate {
            handshakes: NonZeroUsize::new(1),
            queue: 2,
            ..OPEN
        });
        let _inside = enter(&gate);
        let mut line = [Box::pin(gate.enter()), Box::pin(gate.enter())];
        for waiter in &mut line {
            assert!(poll!(waiter).is_pending());
        }
        let start = Instant::now();
        assert_eq!(gate.enter().await.err(), Some(Refused));
        assert_eq!(start.elapsed(), Duration::ZERO);

        drop(line);
        assert!(poll!(Box::pin(gate.enter())).is_pending(), "there is room");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_would_wait_in_vain_is_refused_at_once() {
        let gate = gate(config::Gate {
            rate: rate(1, 1),
            queue_timeout: millis(2_500),
            ..OPEN
        });
        let start = Instant::now();
        let crowd = (0..4).map(async |_| (gate.enter().await.is_ok(), start.elapsed()));
        let crowd = join_all(crowd).await;
        let expected = [(true, 0), (true, 1_000), (true, 2_000), (false, 0)];
        assert_eq!(crowd, expected.map(|(enters, at)| (enters, millis(at))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_stays_taken_is_waited_for_until_the_deadline() {
        let gate = gate(config::Gate {
            handshakes: NonZeroUsize::new(1),
            queue_timeout: millis(2_500),
            ..OPEN
        });
        let inside = enter(&gate);
        let start = Instant::now();
        assert_eq!(gate.enter().await.err(), Some(Refused));
        assert_eq!(start.elapsed(), millis(2_500));
        drop(inside);
        assert!(gate.is_as_new(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_given_back_goes_to_who_is_first_and_not_to_a_newcomer() {
        let gate = gate(config::Gate {
            handshakes: NonZeroUsize::new(2),
            ..OPEN
        });
        let inside = [enter(&gate), enter(&gate)];
        let (mut first, mut second) = (Box::pin(gate.enter()), Box::pin(gate.enter()));
        assert!(poll!(&mut first).is_pending());
        assert!(poll!(&mut second).is_pending());
        // Only one of the places has found somebody who is first already.
        drop(inside);
        assert!(gate.try_enter(Instant::now()).is_none());
        assert!(!gate.is_open(Instant::now()));
        assert!(poll!(&mut second).is_pending());
        assert!(poll!(&mut first).is_ready());
        assert!(poll!(&mut second).is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_leaves_the_line_leaves_its_turn_to_the_next() {
        let gate = gate(config::Gate {
            rate: rate(10, 1),
            ..OPEN
        });
        let start = Instant::now();
        drop(enter(&gate));
        let mut line: Vec<_> = (0..3).map(|_| Box::pin(gate.enter())).collect();
        for waiter in &mut line {
            assert!(poll!(waiter).is_pending());
        }
        advance(millis(40)).await;
        drop(line.remove(1));
        drop(line.remove(0));
        assert!(line.remove(0).await.is_ok());
        assert_eq!(start.elapsed(), millis(100));
        assert!(gate.enter().await.is_ok());
        assert_eq!(start.elapsed(), millis(200));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_open_while_nobody_would_have_to_wait() {
        let gate = gate(config::Gate {
            rate: rate(10, 2),
            handshakes: NonZeroUsize::new(1),
            ..OPEN
        });
        let is_open = || gate.is_open(Instant::now());
        assert!(is_open());
        let inside = enter(&gate);
        assert!(!is_open(), "there is no place");
        drop(inside);
        assert!(is_open());
        drop(enter(&gate));
        assert!(!is_open(), "there is no token");
        advance(millis(100)).await;
        assert!(is_open());
        assert!(!gate.is_as_new(Instant::now()));
        advance(millis(100)).await;
        assert!(gate.is_as_new(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn without_limits_everybody_comes_in() {
        let gate = gate(config::Gate { queue: 0, ..OPEN });
        let crowd = join_all((0..1_000).map(|_| gate.enter())).await;
        assert!(crowd.iter().all(Result::is_ok));
        assert!(gate.is_as_new(Instant::now()));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_crowd_that_comes_and_goes_on_all_threads_leaves_nothing_behind() {
        let gate = Arc::new(gate(config::Gate {
            rate: rate(20_000, 200),
            handshakes: NonZeroUsize::new(3),
            queue: 50,
            queue_timeout: millis(20),
        }));
        let inside = Arc::new(AtomicUsize::new(0));
        let mut crowd = JoinSet::new();
        for _ in 0..1_000 {
            let (gate, inside) = (Arc::clone(&gate), Arc::clone(&inside));
            let [comes, leaves, stays] = [30_000, 4_000, 300]
                .map(|micros| Duration::from_micros(rand::rng().random_range(0..micros)));
            crowd.spawn(async move {
                sleep(comes).await;
                if let Ok(Ok(_pass)) = timeout(leaves, gate.enter()).await {
                    assert!(inside.fetch_add(1, SeqCst) < 3);
                    sleep(stays).await;
                    inside.fetch_sub(1, SeqCst);
                    return 1;
                }
                0
            });
        }
        let entered: i32 = crowd.join_all().await.iter().sum();
        assert!(entered > 0);
        sleep(millis(20)).await;
        assert!(gate.is_as_new(Instant::now()), "{gate:?}");
    }
}
