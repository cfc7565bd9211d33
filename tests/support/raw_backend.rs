use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::Raw;

/// A backend that the test plays itself, connection by connection.
pub(crate) struct RawBackend {
    pub(crate) address: SocketAddr,
    listener: TcpListener,
}

impl RawBackend {
    pub(crate) fn listen() -> Self {
        Self::of(std::net::TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub(crate) fn of(listener: std::net::TcpListener) -> Self {
        listener.set_nonblocking(true).unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            listener: TcpListener::from_std(listener).unwrap(),
        }
    }

    /// A backend whose connections take only a little before the test reads it, and of whose
    /// answers only a little waits to be sent.
    pub(crate) async fn with_small_buffers() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(SMALL).unwrap();
        socket.set_send_buffer_size(SMALL).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(16).unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            listener,
        }
    }

    /// A backend that lets nobody in: its queue is full of the connections given with it, so the
    /// system leaves the next ones without an answer.
    pub(crate) async fn overrun() -> (Self, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        // A queue of length 0 has room for one.
        let waiting = TcpStream::connect(address).await.unwrap();
        (Self { address, listener }, vec![waiting])
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> Raw {
        let (socket, _) = self.listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        Raw::new(socket)
    }

    /// Asserts that nobody has connected since the last one that was accepted.
    pub(crate) async fn has_no_more_visitors(&self) {
        // Connections are accepted in the order of their arrival.
        let own = TcpStream::connect(self.address).await.unwrap();
        let (_, first) = self.listener.accept().await.unwrap();
        assert_eq!(first, own.local_addr().unwrap(), "somebody has connected");
    }
}

/// A client's connection whose buffers take only a little.
pub(crate) async fn narrow_client(address: SocketAddr) -> Raw {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(SMALL).unwrap();
    socket.set_send_buffer_size(SMALL).unwrap();
    Raw::new(socket.connect(address).await.unwrap())
}

const SMALL: u32 = 16 * 1024;
