//! The signals that the running proxy hears.

use std::io;

use anyhow::Context;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

/// From when it is made, no signal goes by unheard, and none but these ends the process.
pub(crate) struct Signals {
    /// To read the configuration again.
    pub(crate) reload: Signal,
    /// To open the log's file again.
    pub(crate) reopen: Signal,
    /// To have another process take over.
    pub(crate) upgrade: Signal,
    stops: watch::Receiver<usize>,
}

impl Signals {
    /// To be called on a Tokio runtime.
    ///
    /// # Errors
    /// If the system does not let us.
    pub(crate) fn hear() -> anyhow::Result<Self> {
        let heard = || -> io::Result<_> {
            Ok(Self {
                reload: signal(SignalKind::hangup())?,
                reopen: signal(SignalKind::user_defined1())?,
                upgrade: signal(SignalKind::user_defined2())?,
                stops: stops()?,
            })
        };
        heard().context("cannot listen for signals")
    }

    /// Ends with the `nth` signal that asks the process to stop.
    pub(crate) fn stop(&self, nth: usize) -> impl Future<Output = ()> + use<> {
        let mut stops = self.stops.clone();
        async move {
            // The counting ends with the runtime, and then nobody waits here either.
            let _ = stops.wait_for(|count| *count >= nth).await;
        }
    }
}

/// How many signals have asked the process to stop.
fn stops() -> io::Result<watch::Receiver<usize>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (count, counted) = watch::channel(0);
    // Signals that nobody has looked at count as one, so somebody always looks.
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            count.send_modify(|count| *count += 1);
        }
    });
    Ok(counted)
}
