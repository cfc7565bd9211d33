//! The process itself, and what it runs under.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::family::{Families, Family};
use crate::{
    admin::Journal,
    metrics::Process,
    server::{Control, Readiness},
    supervision::Task,
};

pub(super) fn write(
    families: &mut Families<'_>,
    control: &Control,
    journal: &Journal,
) -> fmt::Result {
    write_configuration(families, control)?;
    write_troubles(families, journal)?;
    if let Some(process) = Process::now() {
        write_process(families, &process)?;
    }
    let family = Family::new("build", "The version that runs");
    families.info(&family, &[("version", env!("CARGO_PKG_VERSION"))])
}

fn write_configuration(families: &mut Families<'_>, control: &Control) -> fmt::Result {
    let is_ready = *control.readiness().borrow() == Readiness::Ready;
    let family = Family::new("ready", "Whether the process wants clients");
    families.gauge(&family, f64::from(u8::from(is_ready)))?;
    let family = Family::new("reloads", "Reloads, by what came of them");
    let reloads = control.reloads();
    let outcomes = [("done", reloads.done), ("refused", reloads.refused)];
    families.counters(
        &family,
        outcomes.map(|(outcome, count)| ([("outcome", outcome)], count)),
    )?;
    let family = Family::seconds(
        "configuration_read_time",
        "When the configuration in force was read, in seconds since 1970",
    );
    families.gauge(&family, unix(control.source().read_at))?;
    let family = Family::new("workers", "Threads that connections live on");
    families.gauge(&family, control.workers() as f64)
}

/// What is wrong with the process itself.
fn write_troubles(families: &mut Families<'_>, journal: &Journal) -> fmt::Result {
    let help = "Lines that the log has dropped, as nobody read it fast enough";
    let family = Family::new("log_lines_dropped", help);
    families.counter(&family, journal.dropped_lines() as f64)?;
    let help = "Background tasks that panicked and were started again, by kind";
    let family = Family::new("task_panics", help);
    families.counters(
        &family,
        Task::ALL.map(|task| ([("task", task.name())], task.panics())),
    )
}

fn write_process(families: &mut Families<'_>, process: &Process) -> fmt::Result {
    let family = Family::seconds("process_cpu", "CPU time, by who has spent it");
    let spent = [("user", process.user), ("system", process.system)];
    families.counters(
        &family,
        spent.map(|(mode, time)| ([("mode", mode)], time.as_secs_f64())),
    )?;
    let family = Family::bytes("process_resident_memory", "Memory that the process holds");
    families.gauge(&family, process.resident_memory as f64)?;
    let family = Family::new("process_open_files", "Open files");
    families.gauge(&family, process.open_files as f64)?;
    let family = Family::new("process_max_open_files", "Files that may be open");
    let most = process
        .max_open_files
        .map_or(f64::INFINITY, |most| most as f64);
    families.gauge(&family, most)?;
    let family = Family::new("process_threads", "Threads");
    families.gauge(&family, process.threads as f64)?;
    let family = Family::seconds(
        "process_start_time",
        "When the process was started, in seconds since 1970",
    );
    families.gauge(&family, unix(process.started_at))
}

fn unix(time: SystemTime) -> f64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.unwrap_or(Duration::ZERO).as_secs_f64()
}
