//! Active checks: each backend of a pool is asked again and again whether it works, and results in
//! a row make it go down and come up again.

mod count;
mod deadline;
mod failure;
mod http;
mod replies;
mod request;
mod websocket;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep_until},
};
use tracing::{debug, warn};

use self::{
    count::{Count, Flip},
    deadline::Deadline,
    failure::Failure,
};
use super::{Pool, backend::Backend, connect::Connector, outlier::Seen, standing::State};
use crate::{
    config::{self, BackendAddress, BackendTls, Check},
    supervision::{Task, supervised},
};

/// How the backends of a pool are checked.
#[derive(Debug)]
pub(super) struct Health {
    config: config::Health,
    connector: Connector,
}

/// How far the checks of a backend have come. All versions of it that are checked alike share it, so
/// that reloads, however many there are, do not make the checks begin anew.
#[derive(Debug)]
pub(super) struct Course {
    count: Count,
    /// When the next check is due; `None` before the first.
    next: Option<Instant>,
}

/// The longest that the last backend of a pool waits for its first check.
const SPREAD: Duration = Duration::from_secs(1);

impl Pool {
    /// Checks of its backends, where they are wanted: a future for each, which never ends.
    pub fn checks(self: &Arc<Self>) -> impl Iterator<Item = impl Future<Output = ()> + use<>> {
        let count = if self.health.is_some() {
            self.backends.len()
        } else {
            0
        };
        let pool = Arc::clone(self);
        (0..count).map(move |index| {
            let pool = Arc::clone(&pool);
            supervised(Task::Checks, move || Arc::clone(&pool).check_always(index))
        })
    }

    async fn check_always(self: Arc<Self>, index: usize) {
        let backend = &self.backends[index];
        if let (Some(health), Some(course)) = (&self.health, backend.course()) {
            let first_wait = health.first_wait(index, self.backends.len());
            let first = course.lock().expect("no holder panics").begin(first_wait);
            sleep_until(first).await;
            health.watch(&self, backend, course).await;
        }
    }
}

impl Course {
    pub(super) fn new(health: &config::Health) -> Self {
        Self {
            count: Count::up(health.rises, health.falls),
            next: None,
        }
    }

    /// When the first check is due that is still to come.
    fn begin(&self, first_wait: Duration) -> Instant {
        self.next.unwrap_or_else(|| Instant::now() + first_wait)
    }
}

impl Health {
    /// # Errors
    /// If TLS to the backends cannot be set up.
    pub(super) fn new(
        config: &config::Health,
        tls: Option<&BackendTls>,
    ) -> Result<Self, rustls::Error> {
        Ok(Self {
            config: config.clone(),
            connector: Connector::new(tls)?,
        })
    }

    /// How long the backend with this index waits for its first check: all soon, and not all at
    /// once.
    fn first_wait(&self, index: usize, backends: usize) -> Duration {
        let spread = SPREAD.min(self.config.interval / 10);
        spread.mul_f64(index as f64 / backends as f64)
    }

    /// How long to wait from one check to the next. No two proxies that were started together stay
    /// in step.
    fn next_wait(&self) -> Duration {
        self.config.interval.mul_f64(rand::random_range(0.9..=1.1))
    }

    async fn watch(&self, pool: &Pool, backend: &Backend, course: &Mutex<Course>) {
        let address = self.destination(backend.address());
        let course = || course.lock().expect("no holder panics");
        // Other checks may have found otherwise before.
        course().count.agree(!backend.standing().is_down());
        let mut while_ejected = 0;
        loop {
            match self.check(&address).await {
                Ok(()) => {
                    backend.record().passed();
                    let is_ejected = backend.state(Instant::now()) == State::Ejected;
                    while_ejected = if is_ejected { while_ejected + 1 } else { 0 };
                    let flip = course().count.succeeded();
                    if flip == Some(Flip::Up) {
                        pool.comes_up(backend);
                    } else if while_ejected >= self.config.rises.get() {
                        self.readmit(pool, backend);
                    }
                }
                Err(failure) if failure.is_ours() => {
                    warn!(pool = pool.name(), backend = backend.name(), %failure, "cannot check");
                }
                Err(failure) => {
                    while_ejected = 0;
                    backend.record().failed(failure.to_string());
                    debug!(pool = pool.name(), backend = backend.name(), %failure, "a check failed");
                    let flip = course().count.failed();
                    if flip == Some(Flip::Down) {
                        pool.goes_down(backend, &self.reason(&failure));
                    }
                }
            }
            let next = Instant::now() + self.next_wait();
            course().next = Some(next);
            sleep_until(next).await;
        }
    }

    /// What has failed on an ejected backend works again, as far as these checks can tell.
    fn readmit(&self, pool: &Pool, backend: &Backend) {
        match (&self.config.check, self.config.port) {
            // They go elsewhere than traffic does.
            (_, Some(_)) => {}
            (Check::Websocket(_), None) => pool.readmit(backend, Seen::Answered),
            (Check::Tcp | Check::Http(_), None) => pool.readmit(backend, Seen::Reached),
        }
    }

    /// Where checks of the backend at `address` go.
    fn destination(&self, address: &BackendAddress) -> BackendAddress {
        let mut address = address.clone();
        if let (
            BackendAddress::Tcp { port, .. } | BackendAddress::Tls { port, .. },
            Some(separate),
        ) = (&mut address, self.config.port)
        {
            *port = separate;
        }
        address
    }

    async fn check(&self, address: &BackendAddress) -> Result<(), Failure> {
        let deadline = Deadline::after(self.config.timeout);
        let connecting = self.connector.connect(address, self.config.timeout);
        let mut stream = deadline.limit("a connection", connecting).await?;
        match &self.config.check {
            Check::Tcp => {
                // It works, however it takes the end.
                let _ = deadline.limit("the end", stream.shutdown()).await;
                Ok(())
            }
            Check::Http(check) => http::check(check, address, stream, deadline).await,
            Check::Websocket(check) => websocket::check(check, address, stream, deadline).await,
        }
    }

    fn reason(&self, last: &Failure) -> String {
        match self.config.falls.get() {
            1 => last.to_string(),
            falls => format!("{falls} checks in a row failed; in the last it {last}"),
        }
    }
}
