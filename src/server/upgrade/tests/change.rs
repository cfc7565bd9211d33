//! Clients that come while one process takes over from the other.

use std::{
    net::SocketAddr,
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    spawn,
    sync::mpsc,
    task::JoinSet,
};

use super::rig::{Dossier, WITHIN, channel, until};
use crate::server::upgrade::{Giving, Offer, Parcel, Taking};

/// Sockets that share an address, as those of several workers do.
fn listening(count: usize) -> (SocketAddr, Vec<std::net::TcpListener>) {
    let mut address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut listen = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&address.into()).unwrap();
        socket.listen(128).unwrap();
        socket.set_nonblocking(true).unwrap();
        address = socket.local_addr().unwrap().as_socket().unwrap();
        std::net::TcpListener::from(socket)
    };
    let sockets = (0..count).map(|_| listen()).collect();
    (address, sockets)
}

/// Tells whoever comes who accepts there, until dropped.
fn accept(sockets: Vec<std::net::TcpListener>, who: u8) -> JoinSet<()> {
    let mut accepting = JoinSet::new();
    for socket in sockets {
        let listener = TcpListener::from_std(socket).unwrap();
        accepting.spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                spawn(async move { socket.write_u8(who).await });
            }
        });
    }
    accepting
}

/// Clients that keep coming, and how many have met whom.
#[derive(Default)]
struct Clients {
    met_old: AtomicUsize,
    met_new: AtomicUsize,
}

impl Clients {
    fn keep_coming(self: &Arc<Self>, address: SocketAddr) -> JoinSet<()> {
        let mut coming = JoinSet::new();
        for _ in 0..4 {
            let clients = Arc::clone(self);
            coming.spawn(async move {
                loop {
                    let connected = TcpStream::connect(address).await;
                    let mut socket = connected.expect("nobody is refused");
                    match socket.read_u8().await.expect("everybody is answered") {
                        b'o' => clients.met_old.fetch_add(1, Relaxed),
                        _ => clients.met_new.fetch_add(1, Relaxed),
                    };
                }
            });
        }
        coming
    }
}

#[tokio::test]
async fn every_client_is_accepted_by_one_process_or_the_other() {
    let (address, sockets) = listening(3);
    let copies: Vec<_> = sockets
        .iter()
        .map(|socket| socket.try_clone().unwrap())
        .collect();
    let old = accept(sockets, b'o');
    let clients = Arc::new(Clients::default());
    let mut coming = clients.keep_coming(address);
    until(|| clients.met_old.load(Relaxed) > 100).await;

    let (giving, taking) = channel();
    let new = async {
        let (taking, mut estate) = Taking::begin(taking).await.unwrap();
        let accepting = accept(estate.inherited.take(address), b'n');
        (accepting, taking.ready().await.unwrap())
    };
    let descriptors: Vec<_> = copies.iter().map(AsFd::as_fd).collect();
    let giving = Giving::begin(giving, &descriptors, Value::Null, WITHIN);
    let (giving, (_accepting, arriving)) = tokio::join!(giving, new);
    // For a while both accept.
    let met = clients.met_new.load(Relaxed);
    until(|| clients.met_new.load(Relaxed) > met + 100).await;
    drop((old, copies));
    let (_, no_offers) = mpsc::channel::<Offer<Dossier>>(1);
    let taking = arriving.take(|_: Parcel<Dossier>| Ok(|| {}));
    let (given, taken) = tokio::join!(giving.unwrap().give(no_offers), taking);
    assert!(given.broken.is_none() && taken.is_ok());

    let met = clients.met_new.load(Relaxed);
    until(|| clients.met_new.load(Relaxed) > met + 100).await;
    assert!(coming.try_join_next().is_none(), "a client has given up");
}
