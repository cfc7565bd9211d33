//! The program: arguments, logging, and what the user wants done.

mod cli;
mod logging;
mod operate;
mod orphans;
mod signals;
mod start;
mod systemd;

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use anyhow::Context;
use clap::Parser;
use longwire::config::{ConfigError, Problems};
use tokio::runtime::{self, Runtime};

use crate::{
    cli::{CommandLine, File, Task, Unheard, completions, say},
    operate::operate,
};

/// How long somebody may take to read why the program fails.
const PATIENCE: Duration = Duration::from_secs(1);

/// An idle tunnel is a few small pieces that outlive the large ones of its handshake: with the
/// system's allocator it would cost half as much again in what lies between them.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match perform(CommandLine::parse().task()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast::<clap::Error>() {
            Ok(error) => error.exit(),
            Err(error) if error.is::<Unheard>() => ExitCode::SUCCESS,
            Err(error) => {
                complain(error);
                ExitCode::FAILURE
            }
        },
    }
}

/// Says on stderr what is wrong, and goes on after a while if nobody reads it.
fn complain(error: anyhow::Error) {
    let (said, is_said) = mpsc::channel::<()>();
    let complaining = thread::spawn(move || {
        say_wrong(&error);
        drop(said);
    });
    // It is never sent to, only dropped.
    if is_said.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Disconnected) {
        // Nothing is to be said if nobody listens any more.
        let _ = complaining.join();
    }
}

/// Says what is wrong; problems of a configuration in colours, if somebody sees them.
fn say_wrong(error: &anyhow::Error) {
    let problems = match error.downcast_ref() {
        Some(ConfigError::Invalid(problems)) => Some(problems),
        _ => error.downcast_ref::<Problems>(),
    };
    match problems {
        Some(problems) if io::stderr().is_terminal() => eprintln!("{}", problems.coloured()),
        _ => eprintln!("{error:#}"),
    }
}

fn perform(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Run(source) => {
            // It changes the environment, so it comes before all threads.
            let inherited = systemd::inherited()?;
            let runtime = runtime()?;
            let ended = runtime.block_on(operate(source, inherited));
            // Whatever hangs on a disk or a resolver is not waited for.
            runtime.shutdown_background();
            ended
        }
        Task::Check(file) => report(&file),
        Task::Order(order) => runtime()?.block_on(order.carry_out()),
        Task::Complete(shell) => say(&completions(shell)),
    }
}

fn runtime() -> anyhow::Result<Runtime> {
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

fn report(file: &File) -> anyhow::Result<()> {
    let config = file.load()?;
    for warning in config.warnings() {
        eprintln!("warning: {warning}");
    }
    println!(
        "{} is valid: {} listeners, {} routes, {} pools",
        file.path().display(),
        config.listeners.len(),
        config.routes.len(),
        config.pools.len(),
    );
    Ok(())
}
