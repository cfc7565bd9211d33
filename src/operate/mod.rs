//! The life of the running proxy: its start, signals and orders, its end.

mod orders;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use longwire::{
    admin::{Desk, Door, Errand, Order},
    handover::{Program, predecessor},
    listener::Inherited,
    server::{
        Arrivals, Control, Readiness, Server,
        upgrade::{Arriving, Taking},
    },
    supervision::{Task, supervised},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tracing::{info, warn};

use self::orders::stopping;
use crate::{
    cli::Source, logging::Logging, orphans::look_after_orphans, signals::Signals, start::Started,
    systemd,
};

/// How long the answers to those who have given orders may take to get there.
const LAST_WORD: Duration = Duration::from_millis(500);

/// Orders that may wait for the one that is being carried out.
const WAITING: usize = 8;

/// Runs the proxy until it is told to stop, on the listening sockets that it has inherited and on
/// those that it has to open itself. If another process has started it to take over, it does.
///
/// # Errors
/// If its configuration is wrong, or it cannot start.
pub(crate) async fn operate(source: Source, inherited: Inherited) -> anyhow::Result<()> {
    // Before anything that takes time: from here on nobody can stop it by halves.
    let signals = Signals::hear()?;
    let program = Program::running().context("cannot tell where this program is")?;
    look_after_orphans().context("cannot look after orphans")?;
    let Some(channel) = predecessor()? else {
        let started = Started::alone(&source, inherited)?;
        return run(program, started, signals, None).await;
    };
    let (taking, estate) = Taking::begin(channel).await?;
    match Started::succeeding(&source, estate) {
        Ok(started) => run(program, started, signals, Some(taking)).await,
        Err(error) => {
            taking.fail(format!("{error:#}")).await;
            Err(error)
        }
    }
}

async fn run(
    program: Program,
    started: Started,
    signals: Signals,
    predecessor: Option<Taking>,
) -> anyhow::Result<()> {
    let Started {
        file,
        logging,
        log_level,
        door,
        server,
    } = started;
    let control = server.control();
    let operation = Operation::begin(program, file, logging, log_level, door, control);
    operation.run(server, signals, predecessor).await
}

/// Has the tunnels of the old process go on here.
async fn take_in(arriving: Arriving, arrivals: Arrivals) {
    match arriving.take(|parcel| arrivals.admit(parcel)).await {
        Ok(tunnels) => info!(tunnels, "the old process has given all that it could"),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            warn!(error, "the old process has left before it had given all");
        }
    }
}

/// Answers at `door`.
fn answering(door: &Door, desk: &Desk) -> impl Future<Output = ()> + use<> {
    let (door, desk) = (door.clone(), desk.clone());
    supervised(Task::Admin, move || door.clone().serve(desk.clone()))
}

/// What goes on beside the server.
struct Operation {
    program: Program,
    /// Whether another process has taken over.
    is_succeeded: bool,
    /// The configuration file, if it was started with one.
    file: Option<PathBuf>,
    logging: Logging,
    control: Control,
    door: Door,
    /// Answers at the door.
    answering: JoinHandle<()>,
    desk: Desk,
    errands: mpsc::Receiver<Errand>,
    readiness: watch::Receiver<Readiness>,
}

impl Operation {
    fn begin(
        program: Program,
        file: Option<PathBuf>,
        logging: Logging,
        log_level: String,
        door: Door,
        control: Control,
    ) -> Self {
        let (orders, errands) = mpsc::channel(WAITING);
        let readiness = control.readiness();
        let journal = Arc::clone(&logging.journal);
        let desk = Desk::new(&control, journal, orders, file.clone(), log_level);
        tokio::spawn(logging.sum_up());
        Self {
            program,
            is_succeeded: false,
            file,
            logging,
            control,
            answering: tokio::spawn(answering(&door, &desk)),
            door,
            desk,
            errands,
            readiness,
        }
    }

    /// Serves, and carries out orders, until the server has stopped.
    async fn run(
        mut self,
        server: Server,
        mut signals: Signals,
        predecessor: Option<Taking>,
    ) -> anyhow::Result<()> {
        let pulse = server.pulse();
        let arrivals = server.arrivals();
        let mut serving = tokio::spawn(server.run(signals.stop(1), signals.stop(2)));
        if let Some(predecessor) = predecessor {
            // It has gone on alone if it does not hear this, and then there is one too many.
            let arriving = predecessor.ready().await?;
            self.door.take_over();
            tokio::spawn(take_in(arriving, arrivals));
        }
        systemd::ready("serving");
        let mut readiness = self.readiness.clone();
        tokio::spawn(supervised(Task::Watchdog, move || {
            systemd::feed_watchdog(pulse.clone())
        }));
        let stopped = loop {
            tokio::select! {
                stopped = &mut serving => break stopped?,
                // Once it is succeeded, the service goes on without it.
                Ok(()) = readiness.changed() => if !self.is_succeeded {
                    self.program.retire();
                    systemd::stopping();
                },
                Some(errand) = self.errands.recv() => {
                    let outcome = self.carry_out(errand.order).await;
                    // Who has asked may have left.
                    let _ = errand.reply.send(outcome);
                }
                Some(()) = signals.reload.recv() => {
                    // The log has the outcome.
                    let _ = self.carry_out(Order::Reload).await;
                }
                Some(()) = signals.reopen.recv() => self.logging.reopen(),
                Some(()) = signals.upgrade.recv() => {
                    let _ = self.carry_out(Order::Upgrade).await;
                }
            }
        };
        // It lives until the last line is written.
        let _logging = self.part().await;
        info!(
            closed_tunnels = stopped.closed_tunnels,
            ended_tunnels = stopped.ended_tunnels,
            cut_tunnels = stopped.cut_tunnels,
            moved_tunnels = stopped.moved_tunnels,
            "stopped"
        );
        Ok(())
    }

    /// Answers nobody who comes from now on, and lets those have their answers who have been here.
    async fn part(mut self) -> Logging {
        self.answering.abort();
        self.desk.end_streams();
        drop(self.desk);
        // Whoever is being answered could give an order yet.
        let all_gone = async {
            while let Some(errand) = self.errands.recv().await {
                // Who has asked may have left.
                let _ = errand.reply.send(stopping());
            }
        };
        let _ = timeout(LAST_WORD, all_gone).await;
        self.logging
    }
}
