use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use crate::support::TlsClient;

/// A way into the proxy.
#[derive(Clone)]
pub(crate) enum Entrance {
    Plain(SocketAddr),
    Tls(SocketAddr, Box<TlsClient>),
}

/// A client's socket of either kind.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

impl Entrance {
    pub(super) fn address(&self) -> SocketAddr {
        match self {
            Self::Plain(address) | Self::Tls(address, _) => *address,
        }
    }

    pub(super) async fn connect(&self) -> io::Result<Box<dyn Socket>> {
        match self {
            Self::Plain(address) => {
                let socket = TcpStream::connect(address).await?;
                socket.set_nodelay(true)?;
                Ok(Box::new(socket))
            }
            Self::Tls(address, client) => {
                Ok(Box::new(client.try_connect(*address, "proxy.test").await?))
            }
        }
    }
}
