//! The program: arguments, logging, run until a signal.

mod cli;

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use anyhow::Context;
use clap::Parser;
use longwire::{
    config::{self, Config, ConfigError, LogFormat, Problems},
    server::{Placement, Server},
};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use crate::cli::{CommandLine, Task};

/// An idle tunnel is a few small pieces that outlive the large ones of its handshake: with the
/// system's allocator it would cost half as much again in what lies between them.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match CommandLine::parse().task().and_then(perform) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
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
        Task::Run(config) => {
            log_to_stderr(&config.log)?;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("cannot start the runtime")?;
            runtime.block_on(run(config))
        }
        Task::Report(path, config) => {
            println!(
                "{} is valid: {} listeners, {} routes, {} pools",
                path.display(),
                config.listeners.len(),
                config.routes.len(),
                config.pools.len(),
            );
            Ok(())
        }
    }
}

async fn run(config: Config) -> anyhow::Result<()> {
    raise_open_files();
    // Before anybody is told that the proxy runs, and may stop it.
    let (stop, abort) = stop_signals()?;
    let server = Server::bind(&config, Placement::Threads)?;
    drop(config);
    let stopped = server.run(stop, abort).await;
    info!(
        closed_tunnels = stopped.closed_tunnels,
        ended_tunnels = stopped.ended_tunnels,
        cut_tunnels = stopped.cut_tunnels,
        "stopped"
    );
    Ok(())
}

/// The first signal that asks the process to stop, and the second.
fn stop_signals() -> anyhow::Result<(impl Future<Output = ()>, impl Future<Output = ()>)> {
    let listen = |kind| signal(kind).context("cannot listen for signals");
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
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
    let nth = |n| {
        let mut counted = counted.clone();
        async move {
            // The counting ends with the runtime, and then nobody waits here either.
            let _ = counted.wait_for(|count| *count >= n).await;
        }
    };
    Ok((nth(1), nth(2)))
}

/// A tunnel takes two open files; the system's default allows few.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(%error, "cannot raise the limit of open files");
    }
}

fn log_to_stderr(log: &config::Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.level).context("log.level")?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        // Complaints about stderr would go to stderr, and panic where nobody reads it any more.
        .log_internal_errors(false);
    match log.format {
        LogFormat::Text => subscriber.init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
    Ok(())
}
