//! Listening sockets, made or set as ours are.

use std::{
    io, iter,
    net::{SocketAddr, TcpListener},
};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Connections that the system completes before we accept them; it may allow fewer.
const BACKLOG: i32 = 4096;

/// As many sockets that listen on the same address.
pub(super) fn listen(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    let first = socket(address)?;
    // Alone, so that an address on which another process listens is refused, ...
    first.bind(&address.into())?;
    // ... and then no more.
    first.set_reuse_port(count > 1)?;
    let address = first.local_addr()?;
    let others = (1..count).map(|_| {
        let other = socket(address.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?)?;
        other.set_reuse_port(true)?;
        other.bind(&address)?;
        Ok(other)
    });
    let sockets: Vec<_> = iter::once(Ok(first))
        .chain(others)
        .collect::<io::Result<_>>()?;
    for socket in &sockets {
        socket.listen(BACKLOG)?;
    }
    Ok(sockets.into_iter().map(Into::into).collect())
}

/// Sockets of another's making, set as ours are.
pub(super) fn adopt(sockets: Vec<TcpListener>) -> io::Result<Vec<TcpListener>> {
    for socket in &sockets {
        SockRef::from(socket).set_tcp_nodelay(true)?;
    }
    Ok(sockets)
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
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
    // The sockets that it accepts inherit this.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
