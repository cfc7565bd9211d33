//! What has happened to a backend since the process has started.

use std::{
    sync::{Mutex, MutexGuard},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{backend::Backend, outlier::Seen};
use crate::metrics::{Count, Counter};

/// What has happened to a backend. All versions of it share it.
#[derive(Debug, Default)]
pub(super) struct Record {
    checks: Mutex<Checks>,
    ejections: Counter,
    /// What the last ejection was for; empty if there was none.
    ejected_for: Mutex<String>,
    unreachable: Counter,
    bad_handshakes: Counter,
    lost: Counter,
    downs: Counter,
}

/// What the checks of a backend have shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checks {
    /// Checks that it has passed.
    pub passed: u64,
    /// Checks that it has failed.
    pub failed: u64,
    /// When it was checked last, if it was.
    pub last_at: Option<SystemTime>,
    /// What was wrong when it failed last.
    pub last_failure: Option<String>,
}

/// That a backend is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ejected {
    /// For how long.
    pub left: Duration,
    /// What had failed, in words.
    pub reason: String,
}

/// How often something has failed on a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Failures {
    /// Connections that were not to be had.
    pub unreachable: u64,
    /// Handshakes that were answered with an error, wrongly, too late or not at all.
    pub bad_handshakes: u64,
    /// Tunnels that it has left without a Close.
    pub lost: u64,
    /// Times that its checks found that it does not work any more.
    pub downs: u64,
}

impl Backend {
    /// What its checks have shown since the process has started, if it is checked.
    #[must_use]
    pub fn checks(&self) -> Option<Checks> {
        let is_checked = self.course().is_some();
        is_checked.then(|| self.record().checks())
    }

    /// How long it is left out at `now`, since traffic has failed on it, and for what.
    #[must_use]
    pub fn ejected(&self, now: Instant) -> Option<Ejected> {
        let left = self.standing().ejected_for(now)?;
        let reason = self.record().ejected_for();
        Some(Ejected { left, reason })
    }

    /// How often it was left out since the process has started.
    #[must_use]
    pub fn ejections(&self) -> u64 {
        self.record().ejections()
    }

    /// What has failed on it since the process has started.
    #[must_use]
    pub fn failures(&self) -> Failures {
        self.record().failures()
    }
}

impl Record {
    pub(super) fn checks(&self) -> Checks {
        self.locked_checks().clone()
    }

    /// It has passed a check.
    pub(super) fn passed(&self) {
        let mut checks = self.locked_checks();
        checks.passed += 1;
        checks.last_at = Some(SystemTime::now());
    }

    /// It has failed a check.
    pub(super) fn failed(&self, failure: String) {
        let mut checks = self.locked_checks();
        checks.failed += 1;
        checks.last_at = Some(SystemTime::now());
        checks.last_failure = Some(failure);
    }

    /// A use of it has shown that.
    pub(super) fn note(&self, seen: Seen) {
        match seen {
            Seen::Unreachable => self.unreachable.add(1),
            Seen::Silent | Seen::Wrong | Seen::Erred | Seen::Misfit => self.bad_handshakes.add(1),
            Seen::Lost(_) => self.lost.add(1),
            Seen::Reached | Seen::Answered | Seen::Granted => {}
        }
    }

    pub(super) fn failures(&self) -> Failures {
        Failures {
            unreachable: self.unreachable.value(),
            bad_handshakes: self.bad_handshakes.value(),
            lost: self.lost.value(),
            downs: self.downs.value(),
        }
    }

    /// It has gone down.
    pub(super) fn goes_down(&self) {
        self.downs.add(1);
    }

    /// It is left out.
    pub(super) fn ejected(&self, reason: Seen) {
        self.ejections.add(1);
        self.was_ejected_for(reason.to_string());
    }

    pub(super) fn ejections(&self) -> u64 {
        self.ejections.value()
    }

    /// It was left out in another process.
    pub(super) fn was_ejected_for(&self, reason: String) {
        *self.locked_reason() = reason;
    }

    /// What it was left out for last.
    pub(super) fn ejected_for(&self) -> String {
        self.locked_reason().clone()
    }

    fn locked_checks(&self) -> MutexGuard<'_, Checks> {
        self.checks.lock().expect("no holder panics")
    }

    fn locked_reason(&self) -> MutexGuard<'_, String> {
        self.ejected_for.lock().expect("no holder panics")
    }
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, path::Path, sync::Arc};

    use tokio::{
        task::JoinSet,
        time::{advance, sleep},
    };

    use super::*;
    use crate::{config::Config, pool::Pool};

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// The configuration of a pool of a backend that is not there, with these lines.
    fn config(lines: &str) -> Config {
        let text = format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npool = \"a\"\n\
             [pool.a]\nbackends = [\"127.0.0.1:1\"]\n{lines}"
        );
        Config::parse(&text, "test", Path::new("")).unwrap()
    }

    fn pool(lines: &str) -> Arc<Pool> {
        let config = config(lines);
        let pool = Pool::new(&config.pools[0], &config.timeouts, &config.limits, 1);
        Arc::new(pool.unwrap())
    }

    fn reloaded(pool: &Pool, lines: &str) -> Arc<Pool> {
        let config = config(lines);
        let after = Pool::after(pool, &config.pools[0], &config.timeouts, &config.limits);
        Arc::new(after.unwrap())
    }

    #[tokio::test]
    async fn what_has_failed_on_a_backend_is_known_after_a_reload_too() {
        let before = pool("ejection = \"off\"");
        let backend = &before.backends()[0];
        for seen in [
            Seen::Granted,
            Seen::Unreachable,
            Seen::Unreachable,
            Seen::Erred,
            Seen::Lost(Duration::from_secs(60)),
        ] {
            before.note(backend, seen, CLIENT);
        }
        before.goes_down(backend, "it is gone");
        before.goes_down(backend, "it is gone yet");
        let after = reloaded(&before, "slow_start = \"off\"");
        let expected = Failures {
            unreachable: 2,
            bad_handshakes: 1,
            lost: 1,
            downs: 1,
        };
        assert_eq!(after.backends()[0].failures(), expected);
        assert_eq!(after.backends()[0].checks(), None, "it is not checked");
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_is_left_out_says_for_how_long_and_why_in_the_next_process_too() {
        let lines = "ejection = { failures = 1, networks = 1, time = \"30s\", max_share = 100 }";
        let pool_here = pool(lines);
        let backend = &pool_here.backends()[0];
        assert_eq!(backend.ejected(Instant::now()), None);
        pool_here.note(backend, Seen::Erred, CLIENT);
        advance(Duration::from_secs(10)).await;
        let there = pool(lines);
        there.remember(&pool_here.memory());
        for pool in [&pool_here, &reloaded(&pool_here, lines), &there] {
            let ejected = pool.backends()[0].ejected(Instant::now()).unwrap();
            assert_eq!(ejected.reason, "handshakes fail");
            assert_eq!(ejected.left, Duration::from_secs(20));
        }
        assert_eq!(backend.ejections(), 1);
        advance(Duration::from_secs(20)).await;
        assert_eq!(backend.ejected(Instant::now()), None);
    }

    #[tokio::test]
    async fn what_checks_have_shown_is_known_with_the_words_of_the_last_failure() {
        let lines = "health = { check = \"tcp\", interval = \"1s\", timeout = \"500ms\" }";
        let pool = pool(lines);
        let backend = &pool.backends()[0];
        assert_eq!(backend.checks(), Some(Checks::default()));
        let began = SystemTime::now();
        let _checking: JoinSet<()> = pool.checks().collect();
        while backend.checks().unwrap().failed == 0 {
            sleep(Duration::from_millis(5)).await;
        }
        let checks = reloaded(&pool, lines).backends()[0].checks().unwrap();
        assert_eq!((checks.passed, checks.failed), (0, 1));
        assert!(checks.last_at.unwrap() >= began);
        let failure = checks.last_failure.unwrap();
        assert!(failure.starts_with("cannot be connected to"), "{failure}");
    }
}
