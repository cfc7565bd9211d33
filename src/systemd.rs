//! What systemd, or another service manager that speaks like it, gives us and is told. Where there
//! is none, nothing happens.

use std::{os::fd::OwnedFd, process, time::Duration};

use anyhow::Context;
use listenfd::ListenFd;
use longwire::{listener::Inherited, server::Pulse};
use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, error};

/// The number of the first descriptor that is passed.
const FIRST: usize = 3;

/// The listening sockets that the service manager has opened for us. It forgets the variables that
/// tell of them, so that no process that we start takes them for its own; so it is to be called
/// while there is but one thread.
///
/// # Errors
/// If something else was passed.
pub(crate) fn inherited() -> anyhow::Result<Inherited> {
    let mut passed = ListenFd::from_env();
    let mut inherited = Inherited::lent();
    for index in 0..passed.len() {
        take(&mut passed, index)
            .and_then(|socket| Ok(inherited.add(socket)?))
            .with_context(|| {
                let number = FIRST + index;
                format!("descriptor {number} of LISTEN_FDS is no socket that listens for streams")
            })?;
    }
    Ok(inherited)
}

fn take(passed: &mut ListenFd, index: usize) -> anyhow::Result<OwnedFd> {
    let tcp = passed.take_tcp_listener(index);
    if let Ok(Some(tcp)) = tcp {
        return Ok(tcp.into());
    }
    let unix = passed.take_unix_listener(index)?;
    Ok(unix.context("taken twice")?.into())
}

/// The proxy serves, with this process as the one to watch and to signal.
pub(crate) fn ready(status: &str) {
    tell(&[
        NotifyState::Ready,
        NotifyState::MainPid(process::id()),
        NotifyState::Status(status),
    ]);
}

/// The proxy is about to read its configuration again; [`ready`] follows, whatever comes of it.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        // One without the other would be taken for a mistake.
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "there is no clock for the service manager"),
    }
}

/// Another process, with that number, is to be watched and signalled from now on.
pub(crate) fn succeeded_by(id: u32) {
    tell(&[NotifyState::MainPid(id)]);
}

/// The proxy is about to end.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// Says now and then that the workers live, if somebody wants to know, for as long as they do.
pub(crate) async fn feed_watchdog(pulse: Pulse) {
    let Some(patience) = sd_notify::watchdog_enabled() else {
        return;
    };
    // Twice as often as it is waited for, as is recommended.
    let period = (patience / 2).max(Duration::from_millis(1));
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match pulse.silent(period / 2).await.first() {
            None => tell(&[NotifyState::Watchdog]),
            Some(worker) => error!(
                worker,
                "a worker does not respond: the watchdog is not told that the proxy lives"
            ),
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!(%error, "cannot tell the service manager");
    }
}
