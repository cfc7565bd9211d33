//! The program: arguments, logging, run until a signal.

mod cli;

use std::{io::IsTerminal, process::ExitCode};

use anyhow::Context;
use clap::Parser;
use longwire::{
    config::{self, Config, LogFormat},
    server::{Placement, Server},
};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use crate::cli::{CommandLine, Task};

fn main() -> ExitCode {
    match CommandLine::parse().task().and_then(perform) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
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
    let server = Server::bind(&config, Placement::Threads)?;
    let (stop, abort) = (stop_signal()?, stop_signal()?);
    drop(config);
    let stopped = server.run(stop.first(), abort.second()).await;
    info!(cut_tunnels = stopped.cut_tunnels, "stopped");
    Ok(())
}

/// The signals that ask the process to stop.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

fn stop_signal() -> anyhow::Result<StopSignals> {
    let listen = |kind| signal(kind).context("cannot listen for signals");
    Ok(StopSignals {
        terminate: listen(SignalKind::terminate())?,
        interrupt: listen(SignalKind::interrupt())?,
    })
}

impl StopSignals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    async fn first(mut self) {
        self.next().await;
    }

    async fn second(mut self) {
        self.next().await;
        self.next().await;
    }
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
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match log.format {
        LogFormat::Text => subscriber.init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
    Ok(())
}
