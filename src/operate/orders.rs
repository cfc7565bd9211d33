//! What the running proxy is told to do: by its door, or by a signal.

use std::{io, path::PathBuf, pin::pin};

use longwire::{
    admin::{Door, Order},
    config::{Config, Log},
    server::Readiness,
};
use tokio::task::spawn_blocking;
use tracing::{error, info, warn};

use super::{Operation, answering};
use crate::{logging::Output, start::usual, systemd};

impl Operation {
    /// Carries an order out, and says in the log what came of it.
    pub(super) async fn carry_out(&mut self, order: Order) -> Result<String, String> {
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
        let (config, door, output) = prepared.map_err(|error| {
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
        if let Some(output) = output {
            self.logging.move_to(log.file, output);
        }
        self.answer_at(door);
        Ok(changes.to_string())
    }

    /// The configuration in `file`, the door that it asks for, and where it wants the log, if that is
    /// elsewhere.
    async fn prepare(&self, file: PathBuf) -> anyhow::Result<(Config, Door, Option<Output>)> {
        let config = load(file).await?;
        let usual = usual(&config.admin, self.file.as_deref());
        let door = self.door.moved(&config.admin, usual.as_deref())?;
        let output = self.logging.open_other(config.log.file.as_deref())?;
        Ok((config, door, output))
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
        self.answering = tokio::spawn(answering(&door, &self.desk));
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
                // Who watches is to watch the other one.
                self.desk.end_streams();
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

pub(super) fn stopping() -> Result<String, String> {
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
