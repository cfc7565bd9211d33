//! The address at which operators and probes are answered.

use std::{
    io,
    net::{self, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tracing::debug;

use super::{
    desk::Desk,
    guard::Guard,
    guests::{Guests, Pass},
};
use crate::{
    listener::{BindError, Inherited},
    tls::Acceptor,
};

/// How long to wait for what is short before trying to accept again.
const BACK_OFF: Duration = Duration::from_millis(100);

/// A listening TCP socket.
#[derive(Debug)]
pub(super) struct Address {
    listener: TcpListener,
    /// As it was configured: with port 0, perhaps.
    wanted: SocketAddr,
    address: SocketAddr,
}

impl Address {
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

    /// Accepts whoever comes, and has the desk answer.
    pub(super) async fn receive(&self, desk: &Desk, guard: &Guard, tls: Option<&Acceptor>) {
        let mut guests = Guests::default();
        loop {
            match self.listener.accept().await {
                Ok((socket, _)) => {
                    let (tls, desk, guard) = (tls.cloned(), desk.clone(), guard.clone());
                    guests.welcome(|pass| answer(socket, tls, desk, guard, pass));
                }
                Err(error) => {
                    debug!(%error, "cannot accept an operator for now");
                    sleep(BACK_OFF).await;
                }
            }
        }
    }
}

async fn answer(socket: TcpStream, tls: Option<Acceptor>, desk: Desk, guard: Guard, pass: Pass) {
    let Some(tls) = tls else {
        return desk.serve(socket, guard, pass).await;
    };
    match tls.accept(socket).await {
        Ok(stream) => desk.serve(stream, guard, pass).await,
        Err(error) => debug!(%error, "an operator failed the TLS handshake"),
    }
}

impl AsFd for Address {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}
