//! A crowd of tunnels through a proxy that talk without end, in both directions.

mod ledger;
mod newcomers;
mod socket;
mod voice;

use std::{collections::HashMap, sync::Arc};

use futures_util::{SinkExt, StreamExt, stream};
use longwire::websocket::Role;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::mpsc,
    task::JoinHandle,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async, client_async,
    tungstenite::{
        self, Message,
        handshake::server::{ErrorResponse, Request as Handshake, Response as Accepted},
    },
};

use self::{ledger::Ledger, socket::Socket, voice::Voice};
pub(crate) use self::{newcomers::Newcomers, socket::Entrance, voice::WINDOW};
use super::Backend;

/// The other side of every conversation of a crowd.
pub(crate) struct Hosts {
    pub(crate) backends: Vec<Backend>,
    ledger: Arc<Ledger>,
    /// How the conversations ended there.
    ends: mpsc::UnboundedReceiver<End>,
}

/// The clients of a crowd, which are talking.
pub(crate) struct Crowd {
    hosts: Hosts,
    talks: Vec<JoinHandle<End>>,
}

/// How the conversations of a crowd ended: so many each way, as the clients saw it and as the
/// backends did.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) clients: HashMap<End, usize>,
    pub(crate) backends: HashMap<End, usize>,
    /// How many answers were heard by others while one was waited for, at the most.
    pub(crate) most_overtaken: u64,
}

/// How a conversation ended: with that code, between two frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct End(pub(crate) u16);

/// All was said.
pub(crate) const FINISHED: End = End(1000);

impl Hosts {
    /// As many backends, for a crowd of so many.
    pub(crate) async fn new(backends: usize, tunnels: usize) -> Self {
        let ledger = Arc::new(Ledger::of(tunnels));
        let (tell, ends) = mpsc::unbounded_channel();
        let mut hosts = Self {
            backends: Vec::new(),
            ledger: Arc::clone(&ledger),
            ends,
        };
        for _ in 0..backends {
            let (ledger, tell) = (Arc::clone(&ledger), tell.clone());
            let serve = move |socket, _| serve(socket, Arc::clone(&ledger), tell.clone());
            hosts.backends.push(Backend::serving(serve).await);
        }
        hosts
    }

    /// Opens the tunnels, by these entrances in turn, and has them talk.
    pub(crate) async fn gather(self, entrances: &[Entrance]) -> Crowd {
        let tunnels = 0..self.ledger.tunnels();
        let entering = tunnels.map(|tunnel| {
            let entrance = &entrances[tunnel % entrances.len()];
            async move {
                (
                    tunnel,
                    enter(entrance, &format!("/talk/{tunnel}")).await.unwrap(),
                )
            }
        });
        let entered: Vec<_> = stream::iter(entering).buffer_unordered(50).collect().await;
        let talks = entered.into_iter().map(|(tunnel, websocket)| {
            let voice = Voice::new(&self.ledger, tunnel, Role::Client);
            tokio::spawn(converse(websocket, voice, Arc::clone(&self.ledger)))
        });
        let talks = talks.collect();
        Crowd { hosts: self, talks }
    }
}

impl Crowd {
    pub(crate) fn backends(&self) -> &[Backend] {
        &self.hosts.backends
    }

    /// Waits until both sides of every conversation have heard the answers to more than is on its
    /// way now; those alone are not waited for that have ended.
    pub(crate) async fn goes_on(&self) {
        self.hosts.ledger.goes_on_for(WINDOW + 1).await;
    }

    /// Has everybody finish.
    pub(crate) async fn ends(mut self) -> Ends {
        let ledger = Arc::clone(&self.hosts.ledger);
        ledger.end();
        let mut clients = HashMap::new();
        let mut backends = HashMap::new();
        for talk in self.talks.drain(..) {
            *clients.entry(talk.await.unwrap()).or_default() += 1;
        }
        for _ in 0..ledger.tunnels() {
            let end = self.hosts.ends.recv().await.unwrap();
            *backends.entry(end).or_default() += 1;
        }
        ledger.is_without_fault();
        Ends {
            clients,
            backends,
            most_overtaken: ledger.most_overtaken(),
        }
    }
}

/// A WebSocket by that entrance.
async fn enter(
    entrance: &Entrance,
    path: &str,
) -> Result<WebSocketStream<Box<dyn Socket>>, tungstenite::Error> {
    let socket = entrance.connect().await?;
    let request = format!("ws://{}{path}", entrance.address());
    Ok(client_async(request, socket).await?.0)
}

/// Talks with a client of a crowd; with anybody else it is an echo.
async fn serve(socket: TcpStream, ledger: Arc<Ledger>, ends: mpsc::UnboundedSender<End>) {
    let mut path = String::new();
    #[expect(clippy::result_large_err, reason = "the library's own signature")]
    let note_path = |request: &Handshake, response: Accepted| {
        path = request.uri().path().to_owned();
        Ok::<_, ErrorResponse>(response)
    };
    socket.set_nodelay(true).unwrap();
    // A connection may come for a check, or for nothing.
    let Ok(mut websocket) = accept_hdr_async(socket, note_path).await else {
        return;
    };
    if let Some(tunnel) = path.strip_prefix("/talk/") {
        let tunnel = tunnel.parse().unwrap();
        let voice = Voice::new(&ledger, tunnel, Role::Server);
        let end = converse(websocket, voice, ledger).await;
        // A crowd that has failed does not wait for it.
        let _ = ends.send(end);
        return;
    }
    while let Some(Ok(message)) = websocket.next().await {
        if message.is_text() && websocket.send(message).await.is_err() {
            return;
        }
    }
}

/// One side's part in a conversation, up to its end. Whatever is wrong is a fault in the ledger.
async fn converse<S>(websocket: WebSocketStream<S>, mut voice: Voice, ledger: Arc<Ledger>) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let end = match talk(websocket, &mut voice).await {
        Ok(end) => end,
        Err(fault) => {
            ledger.note_fault(format!("{fault}: {voice}"));
            End(1006)
        }
    };
    ledger.note_end(voice.tunnel());
    end
}

async fn talk<S>(mut websocket: WebSocketStream<S>, voice: &mut Voice) -> Result<End, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut words = voice.begin();
    loop {
        for word in words.drain(..) {
            let fed = websocket.feed(Message::text(word)).await;
            fed.map_err(|error| format!("cannot be said: {error}"))?;
        }
        let flushed = websocket.flush().await;
        flushed.map_err(|error| format!("cannot be said: {error}"))?;
        if voice.is_done() && voice.side() == Role::Client {
            // The end of it is seen below.
            let _ = websocket.send(Message::Close(None)).await;
        }
        match websocket.next().await {
            Some(Ok(Message::Text(text))) => words = voice.hear(&text)?,
            Some(Ok(Message::Close(close))) => {
                let end = close.map_or(FINISHED, |close| End(close.code.into()));
                return silent(websocket).await.map(|()| end);
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.to_string()),
            None => return Err("the end without a Close".to_owned()),
        }
    }
}

/// After a Close comes nothing but the end, and that in order.
async fn silent<S>(mut websocket: WebSocketStream<S>) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match websocket.next().await {
        None => Ok(()),
        Some(Ok(message)) => Err(format!("after the Close came {message:?}")),
        Some(Err(error)) => Err(format!("after the Close: {error}")),
    }
}
