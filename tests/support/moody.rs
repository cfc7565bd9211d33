use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use longwire::{pool::standing::State, websocket::handshake};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{Backend, Proxy, ProxyBuilder, Raw, all_is_quiet, header, say_who, switching};

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
pub(crate) const BROKEN: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";

/// What a backend does with who comes next.
#[derive(Clone)]
pub(crate) enum Mood {
    /// Says who it is.
    Well,
    /// Lets in and is silent.
    Hangs,
    /// Answers every request with these bytes.
    Says(&'static str),
    /// Does so, and hangs up.
    Leaves(&'static str),
    /// Grants the WebSocket, with these headers changed, and sends these bytes.
    Grants(&'static [(&'static str, &'static str)], &'static [u8]),
    /// Answers with the first, and then with the second for ever.
    Floods(&'static str, &'static str),
}

/// A backend whose mood the test decides. It notes when somebody comes.
pub(crate) struct Moody {
    backend: Backend,
    mood: Arc<Mutex<Mood>>,
    visits: Arc<Mutex<Vec<Instant>>>,
}

impl Moody {
    pub(crate) async fn new(mood: Mood) -> Self {
        Self::behind(None, mood).await
    }

    /// The same over TLS, if that is given; it then says `ok` to everybody where it is well.
    pub(crate) async fn behind(tls: Option<TlsAcceptor>, mood: Mood) -> Self {
        let (mood, visits) = (Arc::new(Mutex::new(mood)), Arc::default());
        let (moods, noted) = (Arc::clone(&mood), Arc::clone(&visits));
        let backend = Backend::serving(move |socket, own| {
            let mood: Mood = moods.lock().unwrap().clone();
            let noted: &Mutex<Vec<_>> = &noted;
            noted.lock().unwrap().push(Instant::now());
            socket.set_nodelay(true).unwrap();
            receive(tls.clone(), socket, own, mood)
        });
        Self {
            backend: backend.await,
            mood,
            visits,
        }
    }

    /// From the next visit on.
    pub(crate) fn is_now(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.backend.address
    }

    /// When somebody came.
    pub(crate) fn visits(&self) -> Vec<Instant> {
        self.visits.lock().unwrap().clone()
    }

    /// Waits until it has been visited so many times.
    pub(crate) async fn visited(&self, times: usize) {
        let coming = async {
            while self.visits().len() < times {
                all_is_quiet().await;
            }
        };
        timeout(PATIENCE, coming).await.unwrap();
        all_is_quiet().await;
    }

    pub(crate) fn fronting<'m>(backends: impl IntoIterator<Item = &'m Self>) -> ProxyBuilder {
        Proxy::fronting(backends.into_iter().map(|moody| &moody.backend))
    }
}

/// By a paused clock: longer than any backend takes to go down.
const PATIENCE: Duration = Duration::from_secs(120);

async fn receive(tls: Option<TlsAcceptor>, socket: TcpStream, own: SocketAddr, mood: Mood) {
    match (tls, mood) {
        (None, Mood::Well) => say_who(socket, own).await,
        (None, mood) => suffer(Raw::new(socket), mood).await,
        (Some(tls), mood) => {
            // A proxy that does not trust it leaves.
            if let Ok(socket) = tls.accept(socket).await {
                suffer(Raw::new(socket), mood).await;
            }
        }
    }
}

async fn suffer<S: AsyncRead + AsyncWrite + Unpin>(mut client: Raw<S>, mood: Mood) {
    let Some(head) = client.next_head().await else {
        return;
    };
    match mood {
        Mood::Well => client.send(OK).await,
        Mood::Hangs => {}
        Mood::Says(answer) => client.send(answer).await,
        Mood::Leaves(answer) => return client.send(answer).await,
        Mood::Grants(changes, said) => {
            let accept = accept_of(&head);
            let mut granted = vec![("Sec-WebSocket-Accept", &*accept)];
            if changes
                .iter()
                .any(|(name, _)| *name == "Sec-WebSocket-Accept")
            {
                granted.clear();
            }
            granted.extend(changes);
            client.send(switching(&granted)).await;
            client.send(said).await;
        }
        Mood::Floods(answer, more) => {
            client.send(answer).await;
            let more = more.repeat(1000);
            while client.try_send(&more).await {}
        }
    }
    client.rest().await;
}

pub(crate) fn accept_of(head: &str) -> String {
    let key = header(head, "sec-websocket-key").unwrap();
    let accept = handshake::accept(&key.parse().unwrap());
    accept.to_str().unwrap().to_owned()
}

impl Proxy {
    /// The state of its pool's backend with that index.
    pub(crate) fn state(&self, index: usize) -> State {
        self.pools[0].backends()[index].state(Instant::now())
    }

    /// Waits until that is so.
    pub(crate) async fn becomes(&self, index: usize, wanted: State) {
        let mut changes = self.pools[0].changes();
        let changed = async {
            while self.state(index) != wanted {
                changes.changed().await.unwrap();
            }
        };
        let changed = timeout(PATIENCE, changed).await;
        changed.unwrap_or_else(|_| panic!("the backend is {}", self.state(index)));
    }
}
