//! From a listener to the worker that a client is to live on.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use super::{
    exit::{Exit, Resident},
    workers::Workers,
};
use crate::{
    listener::{Accepted, Listener},
    proxy::{Connection, LAST_CALL, Proxy},
    stream::Stream,
    tls::{self, Acceptor, Failure},
};

/// What a client meets that comes to an address.
#[derive(Debug, Clone)]
pub(super) struct Welcome {
    pub(super) tls: Option<Acceptor>,
    pub(super) tls_deadline: Duration,
    /// Counts their TLS handshakes.
    pub(super) tls_counts: Arc<tls::Counts>,
    pub(super) proxy: Arc<Proxy>,
    pub(super) exit: Arc<Exit>,
    /// Changes when the server stops.
    pub(super) stopping: watch::Receiver<()>,
}

/// The clients of a listener: each is given to the worker that it is to live on, which is mostly the
/// one whose listener it is.
#[derive(Debug, Clone)]
pub(super) struct Reception {
    pub(super) listener: Arc<Listener>,
    pub(super) address: Arc<SocketAddr>,
    /// The number of its worker.
    pub(super) here: usize,
    pub(super) workers: Arc<Workers>,
    pub(super) welcome: Arc<ArcSwap<Welcome>>,
}

impl Reception {
    /// Receives clients as they come.
    pub(super) async fn receive(self) {
        loop {
            let accepted = self.listener.accept().await;
            self.admit(accepted);
        }
    }

    /// Receives who was accepted already, after whom nobody is received any more.
    pub(super) async fn receive_accepted(self) {
        if let Some(accepted) = self.listener.accepted() {
            self.admit(accepted);
        }
    }

    /// Receives those too that wait in the system's queue.
    pub(super) async fn receive_queued(self) {
        if let Some(accepted) = self.listener.accepted() {
            self.admit(accepted);
        }
        while let Some(accepted) = self.listener.accept_queued() {
            self.admit(accepted);
        }
    }

    fn admit(&self, accepted: Accepted) {
        let Accepted {
            socket,
            peer,
            permit,
        } = accepted;
        let welcome = self.welcome.load_full();
        let host = self.workers.host(self.here);
        let connection = Connection {
            peer,
            over_tls: welcome.tls.is_some(),
            worker: host.index,
            residence: Arc::new(Resident {
                worker: host.index,
                listener: Arc::clone(&self.address),
                proxy: Arc::clone(&welcome.proxy),
                exit: Arc::clone(&welcome.exit),
                workers: Arc::clone(&self.workers),
                _permit: permit,
                _seat: host.seat(),
            }),
            logins: Arc::default(),
            awaited: Arc::default(),
        };
        if host.index == self.here {
            host.spawn_task(welcome.serve(socket, connection));
            return;
        }
        let moving = socket.into_std();
        host.spawn_task(async move {
            match moving.and_then(TcpStream::from_std) {
                Ok(socket) => welcome.serve(socket, connection).await,
                Err(error) => warn!(%peer, %error, "cannot serve a connection"),
            }
        });
    }
}

impl Welcome {
    /// Serves a connection to its end. One in its TLS handshake has a last call too when the server
    /// stops: it may bring a request that nobody else would answer.
    async fn serve(self: Arc<Self>, socket: TcpStream, connection: Connection) {
        let stream = match &self.tls {
            None => Some(Stream::Tcp(socket)),
            Some(tls) => {
                let mut stopping = self.stopping.clone();
                let too_late = async {
                    // An error says the same: the server is gone.
                    let _ = stopping.changed().await;
                    sleep(LAST_CALL).await;
                };
                tokio::select! {
                    stream = self.encrypted(tls, socket, connection.peer) => stream,
                    () = too_late => None,
                }
            }
        };
        if let Some(stream) = stream {
            let proxy = Arc::clone(&self.proxy);
            let stopping = self.stopping.clone();
            // It is not to keep what it came by, which may be changed.
            drop(self);
            proxy.serve(stream, connection, stopping).await;
        }
    }

    /// A client's connection, its TLS handshake done; `None` if that fails.
    async fn encrypted(
        &self,
        tls: &Acceptor,
        socket: TcpStream,
        peer: SocketAddr,
    ) -> Option<Stream> {
        match timeout(self.tls_deadline, tls.accept(socket)).await {
            Ok(Ok(stream)) => {
                stream
                    .handshake()
                    .inspect(|done| self.tls_counts.completed(*done));
                Some(stream)
            }
            Ok(Err(error)) => {
                self.tls_counts.failed(Failure::of(&error));
                debug!(%peer, %error, "a TLS handshake failed");
                None
            }
            Err(_) => {
                self.tls_counts.failed(Failure::TimedOut);
                debug!(%peer, "a TLS handshake took too long");
                None
            }
        }
    }
}
