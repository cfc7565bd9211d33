//! The life of the running proxy: its start, signals and orders, its end.

use std::path::{Path, PathBuf};

use anyhow::Context;
use longwire::{
    admin::{Door, Errand, Order, Readiness, usual_socket},
    config::{Admin, AdminSocket, Config},
    listener::Inherited,
    server::{Control, Placement, Server},
};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, spawn_blocking},
};
use tracing::{error, info, warn};

use crate::{
    cli::Source, logging::Logging, orphans::look_after_orphans, signals::Signals, systemd,
};

/// Orders that may wait for the one that is being carried out.
const WAITING: usize = 8;

/// Runs the proxy until it is told to stop, on the listening sockets that it has inherited and on
/// those that it has to open itself.
///
/// # Errors
/// If its configuration is wrong, or it cannot start.
pub(crate) async fn operate(source: Source, mut inherited: Inherited) -> anyhow::Result<()> {
    // Before anything that takes time: from here on nobody can stop it by halves.
    let signals = Signals::hear()?;
    let config = source.config()?;
    let logging = Logging::begin(&config.log)?;
    look_after_orphans().context("cannot look after orphans")?;
    raise_open_files();

    let file = source.file().map(|file| file.path().to_owned());
    let door = open_door(&config.admin, file.as_deref(), &mut inherited)?;
    let server = Server::bind_inheriting(&config, Placement::Threads, &mut inherited)?;
    drop(config);
    close(inherited);
    Operation::begin(file, logging, door, server.control())
        .run(server, signals)
        .await
}

/// What goes on beside the server.
struct Operation {
    /// The configuration file, if it was started with one.
    file: Option<PathBuf>,
    logging: Logging,
    control: Control,
    door: Door,
    /// Answers at the door.
    answering: JoinHandle<()>,
    orders: mpsc::Sender<Errand>,
    errands: mpsc::Receiver<Errand>,
    readiness: watch::Receiver<Readiness>,
}

impl Operation {
    fn begin(file: Option<PathBuf>, logging: Logging, door: Door, control: Control) -> Self {
        let (orders, errands) = mpsc::channel(WAITING);
        let readiness = control.readiness();
        Self {
            file,
            logging,
            control,
            answering: tokio::spawn(door.clone().serve(orders.clone(), readiness.clone())),
            door,
            orders,
            errands,
            readiness,
        }
    }

    /// Serves, and carries out orders, until the server has stopped.
    async fn run(mut self, server: Server, mut signals: Signals) -> anyhow::Result<()> {
        let pulse = server.pulse();
        let mut serving = tokio::spawn(server.run(signals.stop(1), signals.stop(2)));
        systemd::ready("serving");
        let mut readiness = self.readiness.clone();
        tokio::spawn(systemd::feed_watchdog(pulse));
        let stopped = loop {
            tokio::select! {
                stopped = &mut serving => break stopped?,
                Ok(()) = readiness.changed() => systemd::stopping(),
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
        info!(
            closed_tunnels = stopped.closed_tunnels,
            ended_tunnels = stopped.ended_tunnels,
            cut_tunnels = stopped.cut_tunnels,
            "stopped"
        );
        Ok(())
    }

    /// Carries an order out, and says in the log what came of it.
    async fn carry_out(&mut self, order: Order) -> Result<String, String> {
        let outcome = match order {
            _ if *self.readiness.borrow() == Readiness::Stopping => {
                Err("the proxy is stopping".to_owned())
            }
            Order::Reload => self.reload().await,
            Order::Upgrade => self.upgrade().await,
        };
        let name = match order {
            Order::Reload => "reload",
            Order::Upgrade => "upgrade",
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
            return Err("the proxy was started without a configuration file".to_owned());
        };
        let config = load(file).await.map_err(|error| format!("{error:#}"))?;
        // All of it or nothing: what may fail comes before what takes effect.
        let usual = usual(&config.admin, self.file.as_deref());
        let door = self.door.moved(&config.admin, usual.as_deref());
        let door = door.map_err(|error| format!("{:#}", anyhow::Error::from(error)))?;
        let log = config.log.clone();
        let changes = self.control.reload(config).await;
        let changes = changes.map_err(|error| format!("{:#}", anyhow::Error::from(error)))?;
        self.logging.change(&log);
        self.answer_at(door);
        Ok(changes.to_string())
    }

    /// Answers at `door` from now on.
    fn answer_at(&mut self, door: Door) {
        self.answering.abort();
        let serving = door
            .clone()
            .serve(self.orders.clone(), self.readiness.clone());
        self.answering = tokio::spawn(serving);
        self.door = door;
    }

    /// PLACEHOLDER: has another process take over.
    async fn upgrade(&mut self) -> Result<String, String> {
        Err("this proxy cannot be upgraded yet".to_owned())
    }
}

/// Reading asks the system for its certificates, too: not on the thread that answers probes.
async fn load(file: PathBuf) -> anyhow::Result<Config> {
    Ok(spawn_blocking(move || Config::load(&file)).await??)
}

fn open_door(
    config: &Admin,
    file: Option<&Path>,
    inherited: &mut Inherited,
) -> anyhow::Result<Door> {
    let usual = usual(config, file);
    Ok(Door::bind(config, usual.as_deref(), inherited)?)
}

/// Where the socket for orders lies, if that is for us to say.
fn usual(config: &Admin, file: Option<&Path>) -> Option<PathBuf> {
    let file = file.filter(|_| config.socket == AdminSocket::Usual)?;
    let place = usual_socket(file);
    let warn = |error: &_| warn!("orders are taken by signals alone: {error:#}");
    place.map_err(anyhow::Error::from).inspect_err(warn).ok()
}

fn close(inherited: Inherited) {
    for address in inherited.left() {
        warn!("nothing is configured to listen on {address}: the socket that was passed is closed");
    }
    drop(inherited);
}

/// A tunnel takes two open files; the system's default allows few.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(%error, "cannot raise the limit of open files");
    }
}
