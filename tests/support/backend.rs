use std::{
    convert::Infallible,
    future::pending,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::AbortHandle,
};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::handshake::server::{ErrorResponse, Request as Handshake, Response as Accepted},
};

use super::{Raw, header, switching};

pub(crate) type Request = hyper::Request<Incoming>;
pub(crate) type Response = hyper::Response<Full<Bytes>>;

/// A server of the test's own. It stops to accept when dropped or stopped.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    accepting: AbortHandle,
    visits: Arc<AtomicUsize>,
}

/// As many WebSocket backends that send every message back, each saying who it is in the header
/// `x-backend` of its 101.
pub(crate) async fn echo_cluster(count: usize) -> Vec<Backend> {
    let mut cluster = Vec::new();
    for _ in 0..count {
        cluster.push(Backend::echo().await);
    }
    cluster
}

/// As many backends that say who they are to everyone.
pub(crate) async fn naming_cluster(count: usize) -> Vec<Backend> {
    let mut cluster = Vec::new();
    for _ in 0..count {
        cluster.push(Backend::naming().await);
    }
    cluster
}

impl Backend {
    /// Says who it is in the header `x-backend`, of plain answers and of 101s. Its tunnels are
    /// silent.
    pub(crate) async fn naming() -> Self {
        Self::serving(say_who).await
    }

    /// A WebSocket server that sends every message back.
    pub(crate) async fn echo() -> Self {
        Self::serving(|socket, own| async move {
            let name = own.to_string();
            #[expect(clippy::result_large_err, reason = "the library's own signature")]
            let say_who = |_: &Handshake, mut response: Accepted| {
                response
                    .headers_mut()
                    .insert("x-backend", name.parse().unwrap());
                Ok::<_, ErrorResponse>(response)
            };
            // A client that does not ask for a WebSocket, or leaves, is no fault of the test's.
            let Ok(websocket) = accept_hdr_async(socket, say_who).await else {
                return;
            };
            let (mut send, mut receive) = websocket.split();
            while let Some(Ok(message)) = receive.next().await {
                let is_data = message.is_text() || message.is_binary();
                if is_data && send.send(message).await.is_err() {
                    return;
                }
            }
        })
        .await
    }

    /// An HTTP/1.1 server with that answer to every request.
    pub(crate) async fn http<F, A>(answer: F) -> Self
    where
        F: Fn(Request) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        Self::serving(move |socket, _| {
            let answer = answer.clone();
            async move {
                let service = service_fn(move |request| {
                    let answer = answer(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                let served = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
                // How the proxy ends the connection is its own affair.
                let _ = served.await;
            }
        })
        .await
    }

    /// A server that does with each connection what the test says. It is told its own address.
    pub(crate) async fn serving<F, S>(serve: F) -> Self
    where
        F: Fn(TcpStream, SocketAddr) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let visits = Arc::<AtomicUsize>::default();
        let visited = Arc::clone(&visits);
        let accepting = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                visited.fetch_add(1, Relaxed);
                tokio::spawn(serve(socket, address));
            }
        });
        Self {
            address,
            accepting: accepting.abort_handle(),
            visits,
        }
    }

    /// Answers every request in this way, and lets the connection be.
    pub(crate) async fn answering(answer: &'static str) -> Self {
        Self::serving(move |socket, _| async move {
            let mut client = Raw::new(socket);
            while client.next_head().await.is_some() {
                client.send(answer).await;
            }
        })
        .await
    }

    /// Takes every request, and never says a word.
    pub(crate) async fn silent() -> Self {
        Self::serving(|socket, _| async move {
            let _open = socket;
            pending().await
        })
        .await
    }

    /// Hangs up once it has been asked for something.
    pub(crate) async fn hanging_up() -> Self {
        Self::serving(|socket, _| async move {
            Raw::new(socket).next_head().await;
        })
        .await
    }

    /// Grants a WebSocket to everyone, says this, and hangs up.
    pub(crate) async fn losing(last_words: &'static [u8]) -> Self {
        Self::serving(move |socket, _| async move {
            let mut client = Raw::new(socket);
            client.grant_websocket().await;
            client.send(last_words).await;
        })
        .await
    }

    /// How many connections it has had.
    pub(crate) fn visits(&self) -> usize {
        self.visits.load(Relaxed)
    }

    /// A server whose connections the test plays itself.
    pub(crate) async fn played() -> (Self, mpsc::UnboundedReceiver<Raw>) {
        let (arrive, arrivals) = mpsc::unbounded_channel();
        let server = Self::serving(move |socket, _| {
            // A test that has ended wants no more of them.
            let _ = arrive.send(Raw::new(socket));
            async {}
        });
        (server.await, arrivals)
    }

    /// An address on which nobody listens: connections to it are refused.
    pub(crate) async fn refusing() -> Self {
        let backend = Self::serving(|_, _| async {}).await;
        backend.stop().await;
        backend
    }

    /// Its entry in a configuration, with further keys.
    pub(crate) fn entry(&self, keys: &str) -> String {
        format!("{{ address = \"{}\", {keys} }}", self.address)
    }

    /// Stops to accept. Connections that it has go on.
    pub(crate) async fn stop(&self) {
        self.accepting.abort();
        // The socket is closed once the task is gone.
        while TcpStream::connect(self.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}

/// Tells the client which backend it has, in answers and in 101s. Tunnels are silent.
pub(crate) async fn say_who(socket: TcpStream, own: SocketAddr) {
    let mut client = Raw::new(socket);
    let name = own.to_string();
    while let Some(head) = client.next_head().await {
        let Some(key) = header(&head, "sec-websocket-key") else {
            let answer =
                format!("HTTP/1.1 200 OK\r\nX-Backend: {name}\r\nContent-Length: 0\r\n\r\n");
            client.send(answer).await;
            continue;
        };
        let accept = longwire::websocket::handshake::accept(&key.parse().unwrap());
        let accept = accept.to_str().unwrap();
        let granted = [("Sec-WebSocket-Accept", accept), ("X-Backend", &name)];
        client.send(switching(&granted)).await;
        client.rest().await;
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
