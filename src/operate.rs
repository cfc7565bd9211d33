//! The life of the running proxy: its start, signals and orders, its end.

use std::{io, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use anyhow::Context;
use longwire::{
    admin::{Desk, Door, Errand, Order},
    config::{Config, Log},
    handover::{Program, predecessor},
    listener::Inherited,
    server::{
        Arrivals, Control, Readiness, Server,
        upgrade::{Arriving, Taking},
    },
};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};
use tracing::{error, info, warn};

use crate::{
    cli::Source,
    logging::Logging,
    orphans::look_after_orphans,
    signals::Signals,
    start::{Started, usual},
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
            answering: tokio::spawn(door.clone().serve(desk.clone())),
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
        tokio::spawn(systemd::feed_watchdog(pulse));
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
                Some(()) = signals.upgrade.recv() => {
                    let _ = self.carry_out(Order::Upgrade).await;
                }
            }
        };
        self.part().await;
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
    async fn part(mut self) {
        self.answering.abort();
        drop(self.desk);
        // Whoever is being answered could give an order yet.
        let all_gone = async {
            while let Some(errand) = self.errands.recv().await {
                // Who has asked may have left.
                let _ = errand.reply.send(stopping());
            }
        };
        let _ = timeout(LAST_WORD, all_gone).await;
    }

    /// Carries an order out, and says in the log what came of it.
    async fn carry_out(&mut self, order: Order) -> Result<String, String> {
        let name = name(&order);
        let outcome = match order {
            _ if *self.readiness.borrow() == Readiness::Stopping => stopping(),
            Order::Reload => self.reload().await,
            Order::Upgrade => self.upgrade().await,
            Order::Log(level) => self.log_at(level),
        };
        match &outcome {
            Ok(done) => info!("{name}: {done}"),
            Err(reason) => error!("{name} refused: {reason}"),
        }
        outcome
    }

    /// Reads the configuration again.
    async fn reload(&mut self) -> Result<String, String> {
        systemd::reloading();
        let outcome = self.take_in_the_file().await;
        systemd::ready(match outcome {
            Ok(_) => "serving",
            Err(_) => "serving; the last reload was refused",
        });
        outcome
    }

    async fn take_in_the_file(&mut self) -> Result<String, String> {
        let Some(file) = self.file.clone() else {
            self.control.note_refused_reload();
            return Err("the proxy was started without a configuration file".to_owned());
        };
        // All of it or nothing: what may fail comes before what takes effect.
        let prepared = self.prepare(file).await;
        let (config, door) = prepared.map_err(|error| {
            self.control.note_refused_reload();
            format!("{error:#}")
        })?;
        let log = config.log.clone();
        let changes = self.control.reload(config).await;
        let changes = changes.map_err(|error| format!("{:#}", anyhow::Error::from(error)))?;
        if let Err(error) = self.logging.change(&log.level) {
            warn!(error = format!("{error:#}"), "the level of the log stays");
        } else {
            self.desk.set_log_level(log.level);
        }
        self.answer_at(door);
        Ok(changes.to_string())
    }

    /// The configuration in `file`, and the door that it asks for.
    async fn prepare(&self, file: PathBuf) -> anyhow::Result<(Config, Door)> {
        let config = load(file).await?;
        let usual = usual(&config.admin, self.file.as_deref());
        let door = self.door.moved(&config.admin, usual.as_deref())?;
        Ok((config, door))
    }

    /// Logs at another level until the next reload.
    fn log_at(&self, level: String) -> Result<String, String> {
        Log::check_level(&level).map_err(|error| error.to_string())?;
        let changed = self.logging.change(&level);
        changed.map_err(|error| format!("{error:#}"))?;
        let done = format!("logging at {level}");
        self.desk.set_log_level(level);
        Ok(done)
    }

    /// Answers at `door` from now on.
    fn answer_at(&mut self, door: Door) {
        self.answering.abort();
        let serving = door.clone().serve(self.desk.clone());
        self.answering = tokio::spawn(serving);
        self.door = door;
    }

    /// Waits for `outcome`, and refuses orders meanwhile.
    async fn alone_with<T>(&mut self, outcome: impl Future<Output = T>) -> T {
        let mut outcome = pin!(outcome);
        loop {
            tokio::select! {
                outcome = &mut outcome => return outcome,
                Some(errand) = self.errands.recv() => {
                    let reason = "another process is taking over";
                    warn!("{} refused: {reason}", name(&errand.order));
                    // Who has asked may have left.
                    let _ = errand.reply.send(Err(reason.to_owned()));
                }
            }
        }
    }

    /// Has another process take over: the program as it lies there now, with the same arguments.
    async fn upgrade(&mut self) -> Result<String, String> {
        let in_words = |error: anyhow::Error| format!("{error:#}");
        let started = self.program.start_again();
        let (channel, mut successor) = started.map_err(|error| in_words(error.into()))?;
        let sockets = self
            .door
            .sockets()
            .map(|socket| socket.try_clone_to_owned());
        let sockets = sockets.collect::<io::Result<_>>();
        let sockets = sockets.map_err(|error| in_words(error.into()))?;
        let control = self.control.clone();
        match self.alone_with(control.hand_over(channel, sockets)).await {
            Ok(version) => {
                successor.let_live();
                self.is_succeeded = true;
                systemd::succeeded_by(successor.id());
                self.door.hand_over();
                self.answer_at(Door::default());
                let id = successor.id();
                Ok(format!("longwire {version} has taken over as process {id}"))
            }
            Err(reason) => {
                let reason = in_words(reason.into());
                let fate = successor.give_up().await;
                let goes_on = match *self.readiness.borrow() {
                    Readiness::Ready => ", and this one goes on",
                    Readiness::Stopping => "",
                };
                Err(format!("{reason}; {fate}{goes_on}"))
            }
        }
    }
}

fn stopping() -> Result<String, String> {
    Err("the proxy is stopping".to_owned())
}

fn name(order: &Order) -> &'static str {
    match order {
        Order::Reload => "reload",
        Order::Upgrade => "upgrade",
        Order::Log(_) => "log level",
    }
}

/// Reading asks the system for its certificates, too: not on the thread that answers probes.
async fn load(file: PathBuf) -> anyhow::Result<Config> {
    Ok(spawn_blocking(move || Config::load(&file)).await??)
}
