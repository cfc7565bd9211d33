//! Bind, accept, limits.

use std::{io, net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};
use tracing::{info, warn};

use crate::config;

/// Connections that the system completes before we accept them; it may allow fewer.
const BACKLOG: i32 = 4096;

/// How long to wait for files or memory to come free before trying to accept again.
const BACK_OFF: Duration = Duration::from_millis(100);

/// How often the same is said of a listener: a limit is reached with every client, or never.
const SAID_AGAIN: Duration = Duration::from_secs(60);

/// An address that is accepted on.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    limits: Vec<Arc<Semaphore>>,
    said_full: Said,
    said_short: Said,
}

/// When something was last said.
#[derive(Debug, Default)]
struct Said(Option<Instant>);

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
#[error("cannot listen on {address}")]
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
            said_full: Said::default(),
            said_short: Said::default(),
        })
    }

    /// The address with the port that the system chose, if it was asked to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next client. Waits while a limit is reached: clients then wait in the system's queue.
    pub async fn accept(&mut self) -> Accepted {
        let permit = self.permit().await;
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
                    if self.said_short.is_due() {
                        warn!(listener = %self.address, %error, "cannot accept for now");
                    }
                    sleep(BACK_OFF).await;
                }
                // The client has left already.
                Err(_) => {}
            }
        }
    }

    async fn permit(&mut self) -> Permit {
        let mut places = Vec::with_capacity(self.limits.len());
        for limit in &self.limits {
            if limit.available_permits() == 0 && self.said_full.is_due() {
                info!(listener = %self.address, "at its limit of connections: new ones wait");
            }
            let place = Arc::clone(limit).acquire_owned().await;
            places.push(place.expect("no limit is ever closed"));
        }
        Permit { _places: places }
    }
}

impl Said {
    /// Whether it is to be said now.
    fn is_due(&mut self) -> bool {
        let is_due = self.0.is_none_or(|last| last.elapsed() >= SAID_AGAIN);
        if is_due {
            self.0 = Some(Instant::now());
        }
        is_due
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
