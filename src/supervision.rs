//! Tasks that run for as long as the process or what they look after: one that panics is logged,
//! counted, and started again.

use std::{
    array,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::LazyLock,
    task::Poll,
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tracing::error;

use crate::metrics::{Count, Counter};

/// How long a task rests that has panicked for the first time.
const FIRST_REST: Duration = Duration::from_secs(1);

/// How long it rests at the most.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// A kind of task that is not to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Accepts clients on a worker.
    Accepting,
    /// Answers at the operator's door.
    Admin,
    /// Watches the files of certificates.
    Certificates,
    /// Checks a backend.
    Checks,
    /// Moves the clocks of a worker's tunnels.
    Clocks,
    /// Drains the backends of a pool.
    Drains,
    /// Forgets who has not come back.
    Forgetting,
    /// Looks once a second, for the dashboard and the API.
    Observer,
    /// Rebalances a pool.
    Rebalance,
    /// Sums up what the log has left out.
    Repetition,
    /// Reports open tunnels.
    Reports,
    /// Tells the service manager that the workers respond.
    Watchdog,
}

/// Panics of all tasks in this process, by their kind.
static PANICS: LazyLock<[Counter; Task::ALL.len()]> =
    LazyLock::new(|| array::from_fn(|_| Counter::default()));

impl Task {
    /// Every kind, in the order of their declaration.
    pub const ALL: [Self; 12] = [
        Self::Accepting,
        Self::Admin,
        Self::Certificates,
        Self::Checks,
        Self::Clocks,
        Self::Drains,
        Self::Forgetting,
        Self::Observer,
        Self::Rebalance,
        Self::Repetition,
        Self::Reports,
        Self::Watchdog,
    ];

    /// Returns its name in the log and in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepting => "accept",
            Self::Admin => "admin",
            Self::Certificates => "certificates",
            Self::Checks => "checks",
            Self::Clocks => "clocks",
            Self::Drains => "drains",
            Self::Forgetting => "forgetting",
            Self::Observer => "observer",
            Self::Rebalance => "rebalance",
            Self::Repetition => "repetition",
            Self::Reports => "reports",
            Self::Watchdog => "watchdog",
        }
    }

    /// Returns how often tasks of this kind have panicked in this process.
    #[must_use]
    pub fn panics(self) -> u64 {
        PANICS[self as usize].value()
    }
}

/// Runs the task that `begin` begins, until it ends by itself. When it panics, that is logged and
/// counted, and it is begun again after a rest, which grows if it panics again and again.
pub async fn supervised<F>(task: Task, mut begin: impl FnMut() -> F)
where
    F: Future<Output = ()>,
{
    let mut rest = FIRST_REST;
    loop {
        let began = Instant::now();
        if is_done(&mut begin).await {
            return;
        }
        PANICS[task as usize].add(1);
        // One that went well for long has the shortest rest again.
        if began.elapsed() > LONGEST_REST {
            rest = FIRST_REST;
        }
        let seconds = rest.as_secs_f64();
        error!(
            task = task.name(),
            seconds, "a background task panicked, and is started again"
        );
        sleep(rest).await;
        rest = (2 * rest).min(LONGEST_REST);
    }
}

/// Does something that is part of a loop which must not end: if it panics, that is logged and counted.
pub fn attempt(task: Task, act: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(act)).is_err() {
        PANICS[task as usize].add(1);
        error!(
            task = task.name(),
            "a background task panicked, and is tried again later"
        );
    }
}

/// Whether what `begin` begins has ended by itself; it has panicked if not.
async fn is_done<F>(begin: &mut impl FnMut() -> F) -> bool
where
    F: Future<Output = ()>,
{
    let Ok(running) = catch_unwind(AssertUnwindSafe(begin)) else {
        return false;
    };
    let mut running = pin!(running);
    // What has panicked is not looked at again.
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(context)));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(true),
            Err(_) => Poll::Ready(false),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[test]
    fn the_kinds_are_in_order() {
        for (index, task) in Task::ALL.into_iter().enumerate() {
            assert_eq!(task as usize, index, "{task:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_counted_and_begun_again_until_it_ends() {
        let (mut times, before) = (0, Task::Reports.panics());
        supervised(Task::Reports, || {
            times += 1;
            let is_bad = times < 4;
            async move {
                advance(Duration::from_millis(1)).await;
                assert!(!is_bad, "a mistake");
            }
        })
        .await;
        assert_eq!((times, Task::Reports.panics() - before), (4, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn its_rest_grows_and_is_bounded() {
        let mut begins = Vec::new();
        supervised(Task::Clocks, || {
            begins.push(Instant::now());
            assert!(begins.len() > 9, "a mistake");
            async {}
        })
        .await;
        let rests: Vec<_> = begins
            .windows(2)
            .map(|two| (two[1] - two[0]).as_secs())
            .collect();
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }
}
