//! Listening sockets that another process has left to this one.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::Path,
};

use rustix::net::sockopt::socket_acceptconn;
use socket2::Socket;

/// Listening sockets that were bound elsewhere: by the process that this one takes over from, or by
/// whoever has started it. They are taken by their address; what nobody takes is closed.
#[derive(Debug, Default)]
pub struct Inherited {
    tcp: Vec<(SocketAddr, TcpListener)>,
    unix: Vec<UnixListener>,
    is_lent: bool,
}

impl Inherited {
    /// None yet, of those that their giver keeps too, and will give to the next process.
    #[must_use]
    pub fn lent() -> Self {
        Self {
            is_lent: true,
            ..Self::default()
        }
    }

    /// Whether their giver keeps them too, and the files of those that have one.
    #[must_use]
    pub fn is_lent(&self) -> bool {
        self.is_lent
    }

    /// Adds a socket.
    ///
    /// # Errors
    /// If it is none that listens for streams.
    pub fn add(&mut self, socket: OwnedFd) -> io::Result<()> {
        let does_listen = socket_acceptconn(&socket)?;
        let socket = Socket::from(socket);
        if !does_listen || socket.r#type()? != socket2::Type::STREAM {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        socket.set_nonblocking(true)?;
        match socket.local_addr()?.as_socket() {
            Some(address) => self.tcp.push((address, socket.into())),
            None => self.unix.push(OwnedFd::from(socket).into()),
        }
        Ok(())
    }

    /// Takes the sockets that listen on `address`.
    pub fn take(&mut self, address: SocketAddr) -> Vec<TcpListener> {
        let taken = self.tcp.extract_if(.., |(own, _)| *own == address);
        taken.map(|(_, socket)| socket).collect()
    }

    /// Takes the socket that listens at `path`.
    pub fn take_unix(&mut self, path: &Path) -> Option<UnixListener> {
        let is_there = |socket: &UnixListener| {
            let address = socket.local_addr();
            address.is_ok_and(|address| address.as_pathname() == Some(path))
        };
        let index = self.unix.iter().position(is_there)?;
        Some(self.unix.swap_remove(index))
    }

    /// The addresses of what nobody has taken.
    pub fn left(&self) -> impl Iterator<Item = String> {
        let tcp = self.tcp.iter().map(|(address, _)| address.to_string());
        let unix = self.unix.iter().map(|socket| match socket.local_addr() {
            Ok(address) => format!("{address:?}"),
            Err(error) => error.to_string(),
        });
        tcp.chain(unix)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_socket_is_taken_by_its_address_once() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door.sock");
        let mut inherited = Inherited::default();
        inherited.add(socket.into()).unwrap();
        inherited
            .add(UnixListener::bind(&path).unwrap().into())
            .unwrap();

        assert_eq!(inherited.take("127.0.0.1:1".parse().unwrap()).len(), 0);
        assert!(inherited.take_unix(Path::new("elsewhere")).is_none());
        assert_eq!(inherited.take(address).len(), 1);
        assert_eq!(inherited.take(address).len(), 0);
        assert_eq!(inherited.left().count(), 1);
        assert!(inherited.take_unix(&path).is_some());
        assert_eq!(inherited.left().count(), 0);
    }

    #[test]
    fn what_does_not_listen_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut inherited = Inherited::default();
        assert!(inherited.add(stream.into()).is_err());
        let (reader, _writer) = rustix::pipe::pipe().unwrap();
        assert!(inherited.add(reader).is_err());
    }
}
