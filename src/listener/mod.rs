//! Bind, accept, limits.

mod fair;
mod inherited;
mod limit;
mod socket;

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use rustix::io::Errno;
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Handle,
    time::{Instant, sleep},
};
use tracing::{info, warn};

pub use self::{
    fair::PerClient,
    inherited::Inherited,
    limit::{Connections, Limit},
};
use self::{
    limit::Place,
    socket::{adopt, listen},
};
use crate::{
    clients::{Full, Share},
    config,
};

/// How long to wait for files or memory to come free before trying to accept again.
const BACK_OFF: Duration = Duration::from_millis(100);

/// How often the same is said of a listener: a limit is reached with every client, or never.
const SAID_AGAIN: Duration = Duration::from_secs(60);

/// One worker's way in at an address. The system spreads the clients of an address over its ways
/// in, so that each worker accepts its own.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    /// A client that was accepted and waits for a place in the limits.
    waiting: Mutex<Option<Waiting>>,
    shared: Arc<Shared>,
}

/// A client that was accepted, and its share of all connections, if that is counted.
#[derive(Debug)]
struct Waiting {
    socket: TcpStream,
    peer: SocketAddr,
    share: Option<Share>,
}

/// What the listeners of an address have in common.
#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    /// Its own, and that of all listeners.
    limits: [Arc<Limit>; 2],
    clients: Arc<PerClient>,
    said_full: Said,
    said_greedy: Said,
    said_short: Said,
}

/// When something was last said.
#[derive(Debug, Default)]
struct Said(Mutex<Option<Instant>>);

/// A client's socket.
#[derive(Debug)]
pub struct Accepted {
    /// The socket, on the worker of its listener.
    pub socket: TcpStream,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Its place in the limits of connections.
    pub permit: Permit,
}

/// A connection's place in the limits, kept until dropped.
#[derive(Debug)]
pub struct Permit {
    _held: Held,
}

/// What a permit holds: every tunnel has one, so what few need is kept apart.
#[derive(Debug)]
enum Held {
    Places {
        _own: Option<Place>,
        _total: Place,
    },
    WithShare {
        _all: Box<(Option<Place>, Place, Share)>,
    },
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

impl Listener {
    /// Begins to listen as configured, once for each of the workers with these runtimes, or on the
    /// sockets that were inherited for the address: however many they are, the workers take turns.
    /// Connections count in `total` too, and those of each client in `clients`.
    ///
    /// # Errors
    /// If the system does not let us.
    pub fn bind<'w>(
        config: &config::Listener,
        total: &Arc<Limit>,
        clients: &Arc<PerClient>,
        workers: impl ExactSizeIterator<Item = &'w Handle> + Clone,
        inherited: &mut Inherited,
    ) -> Result<Vec<Self>, BindError> {
        let error = |source| BindError {
            address: config.address,
            source,
        };
        let sockets = match inherited.take(config.address) {
            none if none.is_empty() => listen(config.address, workers.len()),
            sockets => adopt(sockets),
        };
        let sockets = sockets.map_err(error)?;
        let address = sockets.first().and_then(|socket| socket.local_addr().ok());
        let shared = Arc::new(Shared {
            address: address.unwrap_or(config.address),
            limits: [Limit::new(config.max_connections), Arc::clone(total)],
            clients: Arc::clone(clients),
            said_full: Said::default(),
            said_greedy: Said::default(),
            said_short: Said::default(),
        });
        let listeners = sockets
            .into_iter()
            .zip(workers.cycle())
            .map(|(socket, worker)| {
                let _on_worker = worker.enter();
                Ok(Self {
                    socket: TcpListener::from_std(socket)?,
                    waiting: Mutex::default(),
                    shared: Arc::clone(&shared),
                })
            });
        listeners.collect::<io::Result<_>>().map_err(error)
    }

    /// The address with the port that the system chose, if it was asked to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The limit of connections to its address.
    #[must_use]
    pub fn limit(&self) -> &Arc<Limit> {
        &self.shared.limits[0]
    }

    /// A place for a connection of `peer` to its address that was accepted elsewhere, whatever the
    /// limits.
    #[must_use]
    pub fn permit_beyond(&self, peer: Option<SocketAddr>) -> Permit {
        let share = peer.and_then(|peer| self.shared.clients.take_beyond(peer.ip()));
        self.shared.permit_beyond(share)
    }

    /// A client that was accepted and waits for a place in the limits: it gets one beyond them. For
    /// whoever accepts nobody any more.
    pub fn accepted(&self) -> Option<Accepted> {
        let Waiting {
            socket,
            peer,
            share,
        } = self.waiting().take()?;
        let permit = self.shared.permit_beyond(share);
        Some(self.shared.accepted(socket, peer, permit))
    }

    /// A client that waits in the system's queue, if there is one. For whoever is about to close the
    /// listener, and all that is in its queue with it.
    pub fn accept_queued(&self) -> Option<Accepted> {
        let (socket, peer) = self.take_queued()?;
        let permit = self.permit_beyond(Some(peer));
        Some(self.shared.accepted(socket, peer, permit))
    }

    /// The next client. While a limit is reached it waits, and those behind it in the system's
    /// queue. If this is given up meanwhile, the client [waits on](Self::accepted).
    pub async fn accept(&self) -> Accepted {
        loop {
            if self.waiting().is_some() {
                let (own, total) = self.shared.places().await;
                if let Some(client) = self.waiting().take() {
                    let permit = Permit::new(Some(own), total, client.share);
                    return self.shared.accepted(client.socket, client.peer, permit);
                }
            }
            match self.socket.accept().await {
                Ok((socket, peer)) => *self.waiting() = self.shared.checked(socket, peer),
                Err(error) if is_shortage(&error) => {
                    if self.shared.said_short.is_due() {
                        warn!(listener = %self.address(), %error, "cannot accept for now");
                    }
                    sleep(BACK_OFF).await;
                }
                // The client has left already.
                Err(_) => {}
            }
        }
    }

    /// Takes a client from the system's queue.
    fn take_queued(&self) -> Option<(TcpStream, SocketAddr)> {
        loop {
            // Not Tokio's, which may not know of it yet.
            match SockRef::from(&self.socket).accept() {
                Ok((socket, peer)) => {
                    socket.set_nonblocking(true).ok()?;
                    let socket = TcpStream::from_std(socket.into()).ok()?;
                    return Some((socket, peer.as_socket()?));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) if is_shortage(&error) => return None,
                // The client has left already.
                Err(_) => {}
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.waiting.lock().expect("no holder panics")
    }
}

impl Permit {
    /// A place for a connection to an address that is not listened on any more: it counts in the
    /// `total` alone, whatever that limit is.
    #[must_use]
    pub fn of_none(total: &Arc<Limit>) -> Self {
        Self::new(None, total.place_beyond(), None)
    }

    fn new(own: Option<Place>, total: Place, share: Option<Share>) -> Self {
        let held = match share {
            None => Held::Places {
                _own: own,
                _total: total,
            },
            Some(share) => Held::WithShare {
                _all: Box::new((own, total, share)),
            },
        };
        Self { _held: held }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Shared {
    fn accepted(&self, socket: TcpStream, peer: SocketAddr, permit: Permit) -> Accepted {
        self.limits.iter().for_each(|limit| limit.has_accepted());
        Accepted {
            socket,
            peer,
            permit,
        }
    }

    /// A client that was accepted, unless it has as many connections as it may.
    fn checked(&self, socket: TcpStream, peer: SocketAddr) -> Option<Waiting> {
        match self.clients.take(peer.ip()) {
            Ok(share) => Some(Waiting {
                socket,
                peer,
                share,
            }),
            Err(Full) => {
                self.limits.iter().for_each(|limit| limit.record_refusal());
                if self.said_greedy.is_due() {
                    let listener = self.address;
                    warn!(%listener, client = %peer.ip(), "a client has as many connections as it may: further ones are closed");
                }
                None
            }
        }
    }

    fn permit_beyond(&self, share: Option<Share>) -> Permit {
        let [own, total] = &self.limits;
        Permit::new(Some(own.place_beyond()), total.place_beyond(), share)
    }

    async fn places(&self) -> (Place, Place) {
        let [own, total] = &self.limits;
        (self.place(own).await, self.place(total).await)
    }

    async fn place(&self, limit: &Arc<Limit>) -> Place {
        if let Some(place) = limit.try_place() {
            return place;
        }
        if self.said_full.is_due() {
            info!(listener = %self.address, "at its limit of connections: new ones wait");
        }
        limit.place().await
    }
}

impl Said {
    /// Whether it is to be said now.
    fn is_due(&self) -> bool {
        let mut last = self.0.lock().expect("no holder panics");
        let is_due = last.is_none_or(|last| last.elapsed() >= SAID_AGAIN);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}

/// Whether accepting fails for want of files or memory, which only time can give.
fn is_shortage(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM]
        .into_iter()
        .any(|shortage| errno == Some(shortage))
}

#[cfg(test)]
mod tests {
    use std::{iter, num::NonZeroUsize, path::Path, pin::pin};

    use futures_util::poll;

    use super::*;
    use crate::config::Config;

    const TEXT: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npool = \"a\"\n\
                        [pool.a]\nbackends = [\"127.0.0.1:1\"]";

    /// Listeners of as many workers, all on this runtime.
    fn bind(address: SocketAddr, workers: usize) -> Result<Vec<Listener>, BindError> {
        let mut config = Config::parse(TEXT, "test", Path::new("")).unwrap();
        config.listeners[0].address = address;
        let here = Handle::current();
        let workers: Vec<_> = iter::repeat_n(&here, workers).collect();
        let none = &mut Inherited::default();
        let total = &Limit::new(None);
        let clients = &PerClient::new(None, &[]);
        Listener::bind(
            &config.listeners[0],
            total,
            clients,
            workers.into_iter(),
            none,
        )
    }

    #[test]
    fn a_permit_is_small() {
        assert_eq!(size_of::<Permit>(), 2 * size_of::<usize>());
    }

    #[tokio::test]
    async fn a_socket_is_accepted_that_sends_small_pieces_at_once() {
        let listeners = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let address = listeners[0].address();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listeners[0].accept());
        assert!(accepted.socket.nodelay().unwrap());
        drop(client);
    }

    #[tokio::test]
    async fn a_client_that_waits_for_a_place_is_not_lost_when_nobody_accepts_any_more() {
        let mut config = Config::parse(TEXT, "test", Path::new("")).unwrap();
        config.listeners[0].max_connections = Some(NonZeroUsize::MIN);
        let here = Handle::current();
        let workers = iter::once(&here).collect::<Vec<_>>();
        let total = Limit::new(None);
        let none = &mut Inherited::default();
        let clients = PerClient::new(None, &[]);
        let listeners = Listener::bind(
            &config.listeners[0],
            &total,
            &clients,
            workers.into_iter(),
            none,
        );
        let listener = &listeners.unwrap()[0];
        let _first = TcpStream::connect(listener.address()).await.unwrap();
        let _place = listener.accept().await;

        let second = TcpStream::connect(listener.address()).await.unwrap();
        let third = TcpStream::connect(listener.address()).await.unwrap();
        {
            let mut accepting = pin!(listener.accept());
            while listener.waiting().is_none() {
                assert!(poll!(&mut accepting).is_pending());
                tokio::task::yield_now().await;
            }
        }
        let peer = |client: &TcpStream| client.local_addr().unwrap();
        assert_eq!(listener.accepted().unwrap().peer, peer(&second));
        assert!(listener.accepted().is_none());
        assert_eq!(listener.accept_queued().unwrap().peer, peer(&third));
        assert!(listener.accept_queued().is_none());
    }

    #[tokio::test]
    async fn inherited_sockets_are_shared_out_among_the_workers_however_many_they_are() {
        for (sockets, workers) in [(1, 3), (3, 2), (3, 1)] {
            let passed = listen("127.0.0.1:0".parse().unwrap(), sockets).unwrap();
            let mut config = Config::parse(TEXT, "test", Path::new("")).unwrap();
            config.listeners[0].address = passed[0].local_addr().unwrap();
            let mut inherited = Inherited::default();
            for socket in passed {
                SockRef::from(&socket).set_tcp_nodelay(false).unwrap();
                inherited.add(socket.into()).unwrap();
            }
            let here = Handle::current();
            let workers: Vec<_> = iter::repeat_n(&here, workers).collect();
            let config = &config.listeners[0];
            let total = Limit::new(None);
            let clients = PerClient::new(None, &[]);
            let workers = workers.into_iter();
            let listeners = Listener::bind(config, &total, &clients, workers, &mut inherited);
            let listeners = listeners.unwrap();
            assert_eq!(listeners.len(), sockets);
            assert_eq!(inherited.left().count(), 0);
            assert_eq!(listeners[0].address(), config.address);
            assert!(
                listeners
                    .iter()
                    .all(|listener| SockRef::from(&listener.socket).tcp_nodelay().unwrap())
            );
        }
    }

    #[tokio::test]
    async fn an_address_that_others_listen_on_is_refused_though_they_share_it_among_themselves() {
        let listeners = bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let address = listeners[0].address();
        assert!(
            listeners
                .iter()
                .all(|listener| listener.address() == address)
        );
        for workers in [1, 3] {
            let refused = bind(address, workers).unwrap_err();
            assert_eq!(refused.source.kind(), io::ErrorKind::AddrInUse);
        }
    }
}
