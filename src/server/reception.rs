//! From a listener to the worker that a client is to live on.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpStream, sync::watch, time::timeout};
use tracing::{debug, warn};

use super::workers::Workers;
use crate::{
    listener::{Accepted, Listener},
    proxy::{Connection, Proxy},
    stream::Stream,
    tls::Acceptor,
};

/// What a client meets that comes to an address.
#[derive(Debug, Clone)]
pub(super) struct Welcome {
    pub(super) tls: Option<Acceptor>,
    pub(super) tls_deadline: Duration,
    pub(super) proxy: Arc<Proxy>,
    /// Changes when the server stops.
    pub(super) stopping: watch::Receiver<()>,
}

/// Gives each client of a listener to the worker that it is to live on: mostly the one with the
/// number `here`, whose listener it is.
pub(super) async fn reception(
    listener: Listener,
    here: usize,
    workers: Arc<Workers>,
    welcome: Welcome,
) {
    loop {
        let Accepted {
            socket,
            peer,
            permit,
        } = listener.accept().await;
        let host = workers.host(here);
        let connection = Connection {
            peer,
            over_tls: welcome.tls.is_some(),
            worker: host.index,
            permit: Arc::new((permit, host.seat())),
        };
        let welcome = welcome.clone();
        if host.index == here {
            host.spawn_task(welcome.serve(socket, connection));
            continue;
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
    async fn serve(self, socket: TcpStream, connection: Connection) {
        let Self {
            tls,
            tls_deadline,
            proxy,
            mut stopping,
        } = self;
        let stream = match tls {
            None => Some(Stream::Tcp(socket)),
            Some(tls) => tokio::select! {
                stream = encrypted(&tls, tls_deadline, socket, connection.peer) => stream,
                // A client in its TLS handshake has asked for nothing yet.
                _ = stopping.changed() => None,
            },
        };
        if let Some(stream) = stream {
            proxy.serve(stream, connection, stopping).await;
        }
    }
}

/// A client's connection, its TLS handshake done; `None` if that fails.
async fn encrypted(
    tls: &Acceptor,
    deadline: Duration,
    socket: TcpStream,
    peer: SocketAddr,
) -> Option<Stream> {
    match timeout(deadline, tls.accept(socket)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            debug!(%peer, %error, "a TLS handshake failed");
            None
        }
        Err(_) => {
            debug!(%peer, "a TLS handshake took too long");
            None
        }
    }
}
