//! The start of the proxy, alone or in another process's place.

use std::path::{Path, PathBuf};

use longwire::{
    admin::{Door, usual_socket},
    config::{Admin, AdminSocket, Config},
    listener::Inherited,
    server::{Placement, Server, upgrade::Estate},
};
use rustix::process::{Resource, getrlimit, setrlimit};
use tracing::{info, warn};

use crate::{cli::Source, logging::Logging};

/// A proxy that listens, but does not serve yet.
pub(crate) struct Started {
    /// The configuration file, if it was started with one.
    pub(crate) file: Option<PathBuf>,
    pub(crate) logging: Logging,
    /// What is logged.
    pub(crate) log_level: String,
    pub(crate) door: Door,
    pub(crate) server: Server,
}

impl Started {
    /// On the listening sockets that were passed to it, and on those that it opens itself.
    ///
    /// # Errors
    /// If the configuration is wrong, or cannot be had.
    pub(crate) fn alone(source: &Source, mut inherited: Inherited) -> anyhow::Result<Self> {
        let started = Self::with(source, &mut inherited, |config, inherited| {
            Ok(Server::bind_inheriting(
                config,
                Placement::Threads,
                inherited,
            )?)
        })?;
        for address in inherited.left() {
            warn!(
                "nothing is configured to listen on {address}: the socket that was passed is closed"
            );
        }
        Ok(started)
    }

    /// On what another process leaves to it.
    ///
    /// # Errors
    /// As [`alone`](Self::alone).
    pub(crate) fn succeeding(source: &Source, estate: Estate) -> anyhow::Result<Self> {
        let Estate {
            mut inherited,
            memory,
            version,
        } = estate;
        let started = Self::with(source, &mut inherited, |config, inherited| {
            info!("taking over from longwire {version}");
            Ok(Server::bind_succeeding(
                config,
                Placement::Threads,
                inherited,
                memory,
            )?)
        })?;
        for address in inherited.left() {
            info!("listening no more on {address}");
        }
        Ok(started)
    }

    fn with(
        source: &Source,
        inherited: &mut Inherited,
        bind: impl FnOnce(&Config, &mut Inherited) -> anyhow::Result<Server>,
    ) -> anyhow::Result<Self> {
        let config = source.config()?;
        let logging = Logging::begin(&config.log)?;
        raise_open_files();
        let file = source.file().map(|file| file.path().to_owned());
        let usual = usual(&config.admin, file.as_deref());
        let door = Door::bind(&config.admin, usual.as_deref(), inherited)?;
        Ok(Self {
            server: bind(&config, inherited)?,
            log_level: config.log.level.clone(),
            file,
            logging,
            door,
        })
    }
}

/// Where the socket for orders lies, if that is for us to say.
pub(crate) fn usual(config: &Admin, file: Option<&Path>) -> Option<PathBuf> {
    let file = file.filter(|_| config.socket == AdminSocket::Usual)?;
    let place = usual_socket(file);
    let warn = |error: &_| warn!("orders are taken by signals alone: {error:#}");
    place.map_err(anyhow::Error::from).inspect_err(warn).ok()
}

/// A tunnel takes two open files; the system's default allows few.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(%error, "cannot raise the limit of open files");
    }
}
