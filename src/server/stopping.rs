//! The end of a server: it accepts nobody, lets requests finish and closes tunnels.

use std::{
    pin::{Pin, pin},
    time::Duration,
};

use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

use super::{Server, Shared, TICK, orders, upgrade::Giving};
use crate::{
    config::{self, DrainPace},
    tunnel::{
        drain::{Drain, Whose},
        pacing::Pace,
        registry::CloseOrder,
    },
};

/// How a server has stopped, and what has become of the tunnels that it had then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Tunnels that were told to close, and have closed.
    pub closed_tunnels: usize,
    /// Tunnels that have ended by themselves.
    pub ended_tunnels: usize,
    /// Tunnels that had not ended in time and were cut.
    pub cut_tunnels: usize,
    /// Tunnels that go on in the process that has taken over.
    pub moved_tunnels: usize,
}

/// What is known so far of the tunnels that a server had when it began to stop.
#[derive(Debug, Clone, Copy)]
struct Tally {
    /// How many had ended before.
    ended_before: usize,
    told: usize,
    moved: usize,
}

/// How the closing of tunnels went.
#[derive(Debug, Clone, Copy)]
struct Closed {
    /// Those that were told to close.
    told: usize,
    is_interrupted: bool,
}

/// How tunnels are closed when the server stops.
#[derive(Debug)]
struct Farewell {
    pace: DrainPace,
    deadline: Duration,
    order: &'static CloseOrder,
}

impl Farewell {
    /// What tunnels are told when the process stops.
    fn stopping(config: &config::Stop) -> Self {
        Self {
            pace: config.pace,
            deadline: config.deadline,
            order: orders::stopping(config.code),
        }
    }

    /// What those tunnels are told that cannot go on in the process that has taken over.
    fn upgrading(config: &config::Upgrade) -> Self {
        Self {
            pace: config.pace,
            deadline: config.deadline,
            order: orders::upgrading(config.code),
        }
    }
}

impl Server {
    /// Stops, at once when `abort` is ready.
    pub(super) async fn stop(mut self, mut abort: Pin<&mut impl Future<Output = ()>>) -> Stopped {
        info!(tunnels = self.shared.registry.len(), "stopping");
        self.obey_no_more();
        // Who was asked to take over is not to serve when this one is told to stop.
        self.succession.withdraw();
        let began = Instant::now();
        let mut tally = Tally::begin(&self.shared);
        for door in self.doors.drain(..) {
            self.closing.spawn(door.close());
        }
        tokio::select! {
            biased;
            () = &mut abort => warn!("stopping at once"),
            () = self.let_connections_end() => {
                self.stop_tunnels(&mut tally, began, abort).await;
            }
        }
        self.finish(tally).await
    }

    /// Ends as another process has taken over: what it can be given goes there, and the rest is
    /// closed. If `stop` is ready, the rest is closed as in a stop, and at once when `abort` is.
    pub(super) async fn be_succeeded(
        mut self,
        giving: Giving,
        mut stop: Pin<&mut impl Future<Output = ()>>,
        abort: Pin<&mut impl Future<Output = ()>>,
    ) -> Stopped {
        let tunnels = self.shared.registry.len();
        info!(tunnels, "another process has taken over");
        self.obey_no_more();
        let mut tally = Tally::begin(&self.shared);
        for door in self.doors.drain(..) {
            self.closing.spawn(door.leave());
        }
        let departures = self.depart(giving);
        let settled = async {
            self.let_connections_end().await;
            self.settle(&departures).await;
        };
        let mut is_stopped = tokio::select! {
            () = settled => false,
            () = &mut stop => true,
        };
        if !is_stopped {
            let farewell = Farewell::upgrading(&self.config.upgrade);
            let closed = self.close_tunnels(&farewell, Instant::now(), stop).await;
            tally.told += closed.told;
            is_stopped = closed.is_interrupted;
        }
        if is_stopped {
            self.stop_tunnels(&mut tally, Instant::now(), abort).await;
        }
        tally.moved = departures.end(&self.shared.exit).await;
        self.finish(tally).await
    }

    /// Waits until all doors are closed, and has connections end with the request under way. A
    /// worker that hangs closes none, and its tunnels alone are to wait for it.
    async fn let_connections_end(&mut self) {
        self.await_closed_doors().await;
        self.stopping.send_replace(());
    }

    /// Waits until all doors are closed that are about to, for a [`TICK`] at the most.
    pub(super) async fn await_closed_doors(&mut self) {
        let all_closed = async { while self.closing.join_next().await.is_some() {} };
        let _ = timeout(TICK, all_closed).await;
    }

    /// Closes the tunnels of a server that `began` to stop then.
    async fn stop_tunnels(
        &self,
        tally: &mut Tally,
        began: Instant,
        abort: Pin<&mut impl Future<Output = ()>>,
    ) {
        let farewell = Farewell::stopping(&self.config.stop);
        let closed = self.close_tunnels(&farewell, began, abort).await;
        tally.told += closed.told;
        if closed.is_interrupted {
            warn!("stopping at once");
        }
    }

    /// Closes tunnels at their pace, until none is left and no request either, the time is up that
    /// `began` then, or there is an `interruption`.
    async fn close_tunnels(
        &self,
        farewell: &Farewell,
        began: Instant,
        mut interruption: Pin<&mut impl Future<Output = ()>>,
    ) -> Closed {
        let registry = &self.shared.registry;
        let (deadline, now) = (began + farewell.deadline, Instant::now());
        let pace = Pace::from(farewell.pace).for_few(registry.len());
        let mut drain = Drain::new(pace, None, now);
        drain.set(vec![(Whose::Everyone, farewell.order)], now);
        let finished = async {
            // In this order: a connection may yet become a tunnel.
            self.stopping.closed().await;
            self.emptied().await;
        };
        let mut finished = pin!(finished);
        let mut is_interrupted = false;
        loop {
            let next = drain.proceed(registry, Instant::now()).next;
            tokio::select! {
                () = &mut finished => break,
                () = sleep_until(next.min(deadline)) => if Instant::now() >= deadline {
                    let deadline = farewell.deadline;
                    warn!(?deadline, "not all have ended in time: the rest is cut");
                    break;
                },
                () = &mut interruption => {
                    is_interrupted = true;
                    break;
                }
            }
        }
        Closed {
            told: drain.told(),
            is_interrupted,
        }
    }

    /// Waits until no tunnel is left. One that is on its way to another process may come back.
    async fn emptied(&self) {
        let registry = &self.shared.registry;
        loop {
            registry.emptied().await;
            self.shared.exit.settled().await;
            if registry.is_empty() {
                return;
            }
        }
    }

    /// Closes and cuts what is left, and ends the workers. One that hangs is not waited for.
    async fn finish(mut self, tally: Tally) -> Stopped {
        self.let_connections_end().await;
        let registry = &self.shared.registry;
        let not_closed = registry.closing();
        let cut = registry.cut_all();
        // They still have to say how they ended.
        let _ = timeout(TICK, registry.emptied()).await;
        let ended = tally.ended_since(&self.shared);
        let closed = tally.told.saturating_sub(not_closed);
        let stopped = Stopped {
            closed_tunnels: closed,
            ended_tunnels: ended.saturating_sub(closed + cut + tally.moved),
            cut_tunnels: cut,
            moved_tunnels: tally.moved,
        };
        self.workers.stop(TICK).await;
        stopped
    }
}

impl Tally {
    fn begin(shared: &Shared) -> Self {
        Self {
            ended_before: ended(shared),
            told: 0,
            moved: 0,
        }
    }

    /// How many have ended since it began.
    fn ended_since(&self, shared: &Shared) -> usize {
        ended(shared).saturating_sub(self.ended_before)
    }
}

/// How many have ended so far. One that has left and come back has not.
fn ended(shared: &Shared) -> usize {
    let ended = shared.registry.ended();
    ended.saturating_sub(shared.exit.returned())
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        path::Path,
        sync::mpsc::channel,
    };

    use super::*;
    use crate::{config::Config, server::Placement};

    const LONG: Duration = Duration::from_secs(30);

    /// A server with a worker that hangs until the sender is dropped.
    fn server_with_a_hanging_worker(rest: &str) -> (Server, std::sync::mpsc::Sender<()>) {
        let text = "[server]\nworkers = 2\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
                    [[route]]\npool = \"main\"\n[pool.main]\nbackends = [\"127.0.0.1:9\"]\n";
        let config = Config::parse(&format!("{text}{rest}"), "test", Path::new("")).unwrap();
        let server = Server::bind(&config, Placement::Threads).unwrap();
        let (release, released) = channel::<()>();
        server.workers.at(1).spawn_task(async move {
            let _ = released.recv();
        });
        (server, release)
    }

    #[tokio::test]
    async fn a_worker_that_hangs_does_not_hold_up_a_stop_at_once() {
        let (server, _release) = server_with_a_hanging_worker("");
        let stopped = timeout(LONG, server.run(ready(()), ready(()))).await;
        assert_eq!(stopped.expect("it waits").cut_tunnels, 0);
    }

    #[tokio::test]
    async fn a_worker_that_hangs_does_not_hold_up_a_stop_beyond_its_deadline() {
        let (server, _release) =
            server_with_a_hanging_worker("[stop]\ndeadline = \"100ms\"\nover = \"100ms\"");
        let stopped = timeout(LONG, server.run(ready(()), pending())).await;
        assert_eq!(stopped.expect("it waits").cut_tunnels, 0);
    }

    #[tokio::test]
    async fn a_worker_that_hangs_after_a_reload_does_not_hold_up_the_next() {
        let (server, _release) = server_with_a_hanging_worker("");
        let control = server.control();
        let config = server.config.clone();
        let elsewhere = Config {
            listeners: vec![config::Listener {
                address: "127.0.0.2:0".parse().unwrap(),
                ..config.listeners[0].clone()
            }],
            ..config.clone()
        };
        let running = tokio::spawn(server.run(pending(), pending()));
        control.reload(elsewhere).await.unwrap();
        let again = timeout(LONG, control.reload(config)).await;
        again.expect("it waits").unwrap();
        running.abort();
    }

    #[tokio::test]
    async fn a_worker_that_hangs_is_waited_for_in_peace() {
        let (server, release) = server_with_a_hanging_worker("");
        let pulse = server.pulse();
        let mut running = tokio::spawn(server.run(ready(()), pending()));
        assert!(timeout(3 * TICK, &mut running).await.is_err());
        drop(release);
        timeout(LONG, running).await.expect("it waits").unwrap();
        assert!(!pulse.beats(LONG).await, "the workers live on");
    }
}
