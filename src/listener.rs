//! Bind, accept, limits.

use std::{io, net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tracing::{info, warn};

use crate::config;

/// Connections that the system completes before we accept them; it may allow fewer.
const BACKLOG: i32 = 4096;

/// How long to wait for files or memory to come free before trying to accept again.
const BACK_OFF: Duration = Duration::from_millis(100);

/// An address that is accepted on.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    limits: Vec<Arc<Semaphore>>,
}

/// A client's socket, not yet known to any worker.
#[derive(Debug)]
pub struct Accepted {
    /// The socket, set not to block.
    pub socket: std::net::TcpStream,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Its place in the limits of connections.
    pub permit: Permit,
}

/// A connection's place in the limits, kept until dropped.
#[derive(Debug)]
pub struct Permit {
    _places: Vec<OwnedSemaphorePermit>,
}

/// An address that cannot be accepted on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// What the system says.
    pub source: io::Error,
}

/// A limit of connections at once, to be shared by listeners.
#[must_use]
pub fn limit(connections: NonZeroUsize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(
        connections.get().min(Semaphore::MAX_PERMITS),
    ))
}

impl Listener {
    /// Begins to listen as configured. Connections count in `total` too, if there is one.
    ///
    /// # Errors
    /// If the system does not let us.
    pub fn bind(
        config: &config::Listener,
        total: Option<&Arc<Semaphore>>,
    ) -> Result<Self, BindError> {
        let socket = listen(config.address).map_err(|source| BindError {
            address: config.address,
            source,
        })?;
        let own = config.max_connections.map(limit);
        Ok(Self {
            address: socket.local_addr().unwrap_or(config.address),
            socket,
            limits: own.into_iter().chain(total.cloned()).collect(),
        })
    }

    /// The address with the port that the system chose, if it was asked to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next client. Waits while a limit is reached: clients then wait in the system's queue.
    pub async fn accept(&self) -> Accepted {
        let permit = self.permit().await;
        let mut is_short = false;
        loop {
            match self.socket.accept().await.and_then(detach) {
                Ok((socket, peer)) => {
                    return Accepted {
                        socket,
                        peer,
                        permit,
                    };
                }
                Err(error) if is_shortage(&error) => {
                    if !is_short {
                        warn!(listener = %self.address, %error, "cannot accept for now");
                    }
                    is_short = true;
                    sleep(BACK_OFF).await;
                }
                // The client has left already.
                Err(_) => {}
            }
        }
    }

    async fn permit(&self) -> Permit {
        let mut places = Vec::with_capacity(self.limits.len());
        for limit in &self.limits {
            if limit.available_permits() == 0 {
                info!(listener = %self.address, "at its limit of connections: new ones wait");
            }
            let place = Arc::clone(limit).acquire_owned().await;
            places.push(place.expect("no limit is ever closed"));
        }
        Permit { _places: places }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A restart need not wait for the connections of the last run to be forgotten.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // Or else [::] would take the place of 0.0.0.0 on some systems and not on others.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Takes a socket off this runtime, for another to take it up.
fn detach(
    (socket, peer): (TcpStream, SocketAddr),
) -> io::Result<(std::net::TcpStream, SocketAddr)> {
    socket.set_nodelay(true)?;
    Ok((socket.into_std()?, peer))
}

/// Whether accepting fails for want of files or memory, which only time can give.
fn is_shortage(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM]
        .into_iter()
        .any(|shortage| errno == Some(shortage))
}
