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
};

use anyhow::Context;
use clap::Parser;
use longwire::config::{ConfigError, Problems};
use tokio::runtime::{self, Runtime};

use crate::{
    cli::{CommandLine, File, Task, Unheard, completions, say},
    operate::operate,
};

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
                complain(&error);
                ExitCode::FAILURE
            }
        },
    }
}

/// Says on stderr what is wrong; problems of a configuration in colours, if somebody sees them.
fn complain(error: &anyhow::Error) {
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
            runtime()?.block_on(operate(source, inherited))
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
    println!(
        "{} is valid: {} listeners, {} routes, {} pools",
        file.path().display(),
        config.listeners.len(),
        config.routes.len(),
        config.pools.len(),
    );
    Ok(())
}
