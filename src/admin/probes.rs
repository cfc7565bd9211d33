//! The address at which probes are answered.

use std::{
    io,
    net::{self, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use tokio::{net::TcpListener, time::sleep};
use tracing::debug;

use super::{
    desk::{Desk, Guest},
    guests::Guests,
};
use crate::listener::{BindError, Inherited};

/// How long to wait for what is short before trying to accept again.
const BACK_OFF: Duration = Duration::from_millis(100);

/// A listening TCP socket.
#[derive(Debug)]
pub(super) struct Probes {
    listener: TcpListener,
    /// As it was configured: with port 0, perhaps.
    wanted: SocketAddr,
    address: SocketAddr,
}

impl Probes {
    pub(super) fn open(wanted: SocketAddr, inherited: &mut Inherited) -> Result<Self, BindError> {
        Self::listen(wanted, inherited).map_err(|source| BindError {
            address: wanted,
            source,
        })
    }

    fn listen(wanted: SocketAddr, inherited: &mut Inherited) -> io::Result<Self> {
        let listener = match inherited.take(wanted).pop() {
            Some(listener) => listener,
            None => net::TcpListener::bind(wanted)?,
        };
        listener.set_nonblocking(true)?;
        Ok(Self {
            address: listener.local_addr()?,
            listener: TcpListener::from_std(listener)?,
            wanted,
        })
    }

    pub(super) fn wanted(&self) -> SocketAddr {
        self.wanted
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts probes, and has the desk answer them.
    pub(super) async fn receive(&self, desk: &Desk) {
        let mut guests = Guests::default();
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    guests.welcome(desk.clone().serve(stream, Guest::Probe));
                }
                Err(error) => {
                    debug!(%error, "cannot accept a probe for now");
                    sleep(BACK_OFF).await;
                }
            }
        }
    }
}

impl AsFd for Probes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}
