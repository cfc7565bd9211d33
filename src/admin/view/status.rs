//! The process as a whole.

use std::{path::PathBuf, time::SystemTime};

use super::{rounded, unix};
use crate::{
    admin::api::{Configuration, Ends, Rates, RoundTrips, Status, Tunnels},
    server::Control,
};

/// What is known of the process beside what its server knows.
#[derive(Debug)]
pub(in crate::admin) struct Facts {
    pub(in crate::admin) started: SystemTime,
    /// The configuration file, if there is one.
    pub(in crate::admin) file: Option<PathBuf>,
    pub(in crate::admin) log_level: String,
    pub(in crate::admin) rates: Rates,
    pub(in crate::admin) round_trips: RoundTrips,
}

/// The process as it is now.
pub(in crate::admin) fn status(control: &Control, facts: Facts) -> Status {
    let registry = control.registry();
    let counts = control.proxy().counts();
    let sums = counts.sums();
    let reloads = control.reloads();
    let uptime = facts.started.elapsed().unwrap_or_default();
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started_at: unix(facts.started),
        uptime_seconds: rounded(uptime),
        readiness: *control.readiness().borrow(),
        configuration: Configuration {
            file: facts.file.map(|file| file.display().to_string()),
            loaded_at: unix(control.source().read_at),
            reloads: reloads.done,
            refused_reloads: reloads.refused,
        },
        log_level: facts.log_level,
        workers: control.workers(),
        connections: control.connections().open,
        tunnels: Tunnels {
            open: registry.len(),
            closing: registry.closing(),
            opened: sums.opened,
            ended: sums.ended,
        },
        rates: facts.rates,
        round_trips: facts.round_trips,
        ends: counts
            .ends()
            .into_iter()
            .map(|(ending, count)| Ends {
                by: ending.by.to_owned(),
                cause: ending.cause.to_owned(),
                code: ending.code.to_owned(),
                count,
            })
            .collect(),
    }
}
