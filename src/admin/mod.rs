//! The operator's door: where the running proxy tells how it is, and takes orders.
//!
//! It has two ways in. A Unix socket, which the proxy's own user and root alone can open. And an
//! address, where one is configured: probes are answered there, and whoever shows the token may do
//! what is done at the socket.

mod address;
mod answer;
pub mod api;
mod close;
mod desk;
mod exposition;
mod guard;
mod guests;
mod history;
mod journal;
mod news;
mod observer;
mod page;
mod reply;
mod socket;
mod usual;
mod view;

use std::{
    error::Error,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::{join, sync::oneshot};
use tracing::{info, warn};

use self::{address::Address, guard::Guard, socket::CommandSocket};
pub use self::{
    desk::Desk,
    journal::Journal,
    socket::SocketError,
    usual::{UsualError, usual_socket},
};
use crate::{
    config::{Admin, AdminSocket},
    listener::{BindError, Inherited},
    tls::Acceptor,
};

/// What an operator can ask of a running proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// To read its configuration again.
    Reload,
    /// To have another process take over.
    Upgrade,
    /// To log this from now on, as `log.level` says it.
    Log(String),
}

/// An order, and whom to tell what came of it.
#[derive(Debug)]
pub struct Errand {
    /// What is to be done.
    pub order: Order,
    /// What was done, or why it was not: in words, over as many lines as it takes.
    pub reply: oneshot::Sender<Result<String, String>>,
}

/// The door, open as far as it is configured to be. Its clones are one door: it closes, and the
/// file of its socket goes, with the last of them.
#[derive(Debug, Clone, Default)]
pub struct Door {
    socket: Option<Arc<CommandSocket>>,
    address: Option<Arc<Address>>,
    guard: Option<Guard>,
    tls: Option<Acceptor>,
}

/// Why the door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The socket for orders cannot be had.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The address cannot be had.
    #[error(transparent)]
    Address(#[from] BindError),
    /// TLS cannot be set up.
    #[error("cannot set up TLS for the operator's door")]
    Tls(#[from] rustls::Error),
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
        let is_encrypted = config.tls.is_some();
        let listen = |at| self.listen_on(at, is_encrypted, inherited);
        let address = config.listen.map(listen);
        Ok(Self {
            socket,
            address: address.transpose()?,
            guard: Some(config.token.clone().map_or(Guard::Local, Guard::Token)),
            tls: config.tls.as_ref().map(Acceptor::new).transpose()?,
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

    fn listen_on(
        &self,
        wanted: SocketAddr,
        is_encrypted: bool,
        inherited: &mut Inherited,
    ) -> Result<Arc<Address>, BindError> {
        let mut same = self.address.iter();
        match same.find(|address| address.wanted() == wanted) {
            Some(address) => Ok(Arc::clone(address)),
            None => {
                let address = Address::open(wanted, inherited)?;
                let scheme = if is_encrypted { "https" } else { "http" };
                info!(
                    "the operator's door is open on {scheme}://{}",
                    address.address()
                );
                Ok(Arc::new(address))
            }
        }
    }

    /// Answers whoever comes, for as long as it is polled. Whom it is answering when it is dropped
    /// still gets the answer, such as what came of a reload that has moved the door.
    pub async fn serve(self, desk: Desk) {
        let orders = async {
            if let Some(socket) = &self.socket {
                socket.receive(&desk).await;
            }
        };
        let others = async {
            if let (Some(address), Some(guard)) = (&self.address, &self.guard) {
                address.receive(&desk, guard, self.tls.as_ref()).await;
            }
        };
        join!(orders, others);
    }

    /// The path of the socket for orders.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        self.socket.as_ref().map(|socket| socket.path().to_owned())
    }

    /// The address, with the port that the system chose, if it was asked to.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address.as_ref().map(|address| address.address())
    }

    /// Its listening sockets, for another process to inherit.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let socket = self.socket.iter().map(|socket| socket.as_fd());
        let address = self.address.iter().map(|address| address.as_fd());
        socket.chain(address)
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
