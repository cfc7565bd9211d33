//! The operator's door: where the running proxy takes orders, and says whether it is ready.
//!
//! It has two ways in. A Unix socket, which the proxy's own user and root alone can open, takes
//! orders. An address, where one is configured, tells probes whether the proxy lives and is ready,
//! and takes no orders.

pub mod api;
mod desk;
mod guests;
mod probes;
mod socket;
mod usual;

use std::{
    error::Error,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use tokio::{
    join,
    sync::{mpsc, oneshot, watch},
};
use tracing::{info, warn};

use self::{desk::Desk, probes::Probes, socket::CommandSocket};
pub use self::{
    socket::SocketError,
    usual::{UsualError, usual_socket},
};
use crate::{
    config::{Admin, AdminSocket},
    listener::{BindError, Inherited},
};

/// What an operator can ask of a running proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// To read its configuration again.
    Reload,
    /// To have another process take over.
    Upgrade,
}

/// An order, and whom to tell what came of it.
#[derive(Debug)]
pub struct Errand {
    /// What is to be done.
    pub order: Order,
    /// What was done, or why it was not: in words, over as many lines as it takes.
    pub reply: oneshot::Sender<Result<String, String>>,
}

/// Whether the proxy wants clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// It does.
    Ready,
    /// It is about to go, and they had better go elsewhere.
    Stopping,
}

/// The door, open as far as it is configured to be. Its clones are one door: it closes, and the
/// file of its socket goes, with the last of them.
#[derive(Debug, Clone, Default)]
pub struct Door {
    socket: Option<Arc<CommandSocket>>,
    probes: Option<Arc<Probes>>,
}

/// Why the door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The socket for orders cannot be had.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The address for probes cannot be had.
    #[error(transparent)]
    Probes(#[from] BindError),
}

impl Door {
    /// The door that `config` wants, with the sockets that were inherited for it. `usual` is the
    /// place of a socket that is not configured; one that cannot be had there is only warned about.
    /// To be called on a Tokio runtime.
    ///
    /// # Errors
    /// If the socket that is configured, or the address, cannot be had.
    pub fn bind(
        config: &Admin,
        usual: Option<&Path>,
        inherited: &mut Inherited,
    ) -> Result<Self, DoorError> {
        Self::default().rehung(config, usual, inherited)
    }

    /// The door as another configuration wants it. What has not moved stays open all the while, and
    /// this door remains as it is.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn moved(&self, config: &Admin, usual: Option<&Path>) -> Result<Self, DoorError> {
        self.rehung(config, usual, &mut Inherited::default())
    }

    fn rehung(
        &self,
        config: &Admin,
        usual: Option<&Path>,
        inherited: &mut Inherited,
    ) -> Result<Self, DoorError> {
        let socket = match (&config.socket, usual) {
            (AdminSocket::At(path), _) => Some(self.socket_at(path, inherited)?),
            (AdminSocket::Usual, Some(path)) => or_warn(self.socket_at(path, inherited)),
            (AdminSocket::Usual, None) | (AdminSocket::Off, _) => None,
        };
        let probes = config.listen.map(|at| self.probes_on(at, inherited));
        Ok(Self {
            socket,
            probes: probes.transpose()?,
        })
    }

    fn socket_at(
        &self,
        path: &Path,
        inherited: &mut Inherited,
    ) -> Result<Arc<CommandSocket>, SocketError> {
        let same = self.socket.iter().find(|socket| socket.path() == path);
        match same {
            Some(socket) => Ok(Arc::clone(socket)),
            None => {
                let socket = CommandSocket::open(path, inherited)?;
                info!("orders are taken at {}", path.display());
                Ok(Arc::new(socket))
            }
        }
    }

    fn probes_on(
        &self,
        wanted: SocketAddr,
        inherited: &mut Inherited,
    ) -> Result<Arc<Probes>, BindError> {
        let same = self.probes.iter().find(|probes| probes.wanted() == wanted);
        match same {
            Some(probes) => Ok(Arc::clone(probes)),
            None => {
                let probes = Probes::open(wanted, inherited)?;
                info!("probes are answered on http://{}", probes.address());
                Ok(Arc::new(probes))
            }
        }
    }

    /// Answers whoever comes, for as long as it is polled. Whom it is answering when it is dropped
    /// still gets the answer, such as what came of a reload that has moved the door.
    pub async fn serve(self, errands: mpsc::Sender<Errand>, readiness: watch::Receiver<Readiness>) {
        let desk = Desk::new(errands, readiness);
        let orders = async {
            if let Some(socket) = &self.socket {
                socket.receive(&desk).await;
            }
        };
        let probes = async {
            if let Some(probes) = &self.probes {
                probes.receive(&desk).await;
            }
        };
        join!(orders, probes);
    }

    /// The path of the socket for orders.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        self.socket.as_ref().map(|socket| socket.path().to_owned())
    }

    /// The address for probes, with the port that the system chose, if it was asked to.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.probes.as_ref().map(|probes| probes.address())
    }

    /// Its listening sockets, for another process to inherit.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let socket = self.socket.iter().map(|socket| socket.as_fd());
        let probes = self.probes.iter().map(|probes| probes.as_fd());
        socket.chain(probes)
    }

    /// The process that its socket was inherited from needs it no more: the file of the socket goes
    /// with this door.
    pub fn take_over(&self) {
        if let Some(socket) = &self.socket {
            socket.take_file();
        }
    }

    /// Leaves the file of its socket where it is: another process has inherited the socket.
    pub fn hand_over(&self) {
        if let Some(socket) = &self.socket {
            socket.leave_file();
        }
    }
}

/// The socket; a usual one that cannot be had is only warned about, as the proxy is of use without.
fn or_warn(socket: Result<Arc<CommandSocket>, SocketError>) -> Option<Arc<CommandSocket>> {
    let warn = |error: &SocketError| {
        let error: &dyn Error = error;
        warn!(error, "orders are taken by signals alone");
    };
    socket.inspect_err(warn).ok()
}
