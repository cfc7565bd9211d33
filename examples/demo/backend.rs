//! A chat server like thousands of others: it knows nothing of the proxy in front of it.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, oneshot},
    task::{JoinHandle, JoinSet},
};
use tokio_tungstenite::{
    accept_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

use crate::bus::{self, Bus};

/// The most bytes of a message, and the most characters of a name.
const LONGEST_MESSAGE: usize = 4096;
const LONGEST_NAME: usize = 32;

/// A chat server that can be stopped and started.
#[derive(Debug)]
pub(crate) struct Backend {
    identity: Identity,
    address: SocketAddr,
    running: Mutex<Option<Running>>,
}

/// What a connection needs to know of its backend.
#[derive(Debug, Clone)]
struct Identity {
    name: Arc<str>,
    member: usize,
    bus: Arc<Bus>,
}

#[derive(Debug)]
struct Running {
    crash: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Backend {
    /// A running backend on a port that the system chooses.
    pub(crate) async fn new(name: String, bus: &Arc<Bus>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let identity = Identity {
            member: bus.add(&name, address.to_string()),
            name: name.into(),
            bus: Arc::clone(bus),
        };
        let running = identity.run(listener);
        Ok(Self {
            identity,
            address,
            running: Mutex::new(Some(running)),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.identity.name
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The backends on the same bus, itself among them, as everybody sees them.
    pub(crate) fn siblings(&self) -> Value {
        self.identity.bus.roll()
    }

    /// Runs again on the port that it had.
    pub(crate) async fn start(&self) -> io::Result<()> {
        let mut running = self.running.lock().await;
        if running.is_none() {
            let listener = TcpListener::bind(self.address).await?;
            *running = Some(self.identity.run(listener));
        }
        Ok(())
    }

    /// Is gone like a process that was killed: nobody listens, and its sockets close without a word.
    pub(crate) async fn crash(&self) {
        let mut running = self.running.lock().await;
        if let Some(Running { crash, serving }) = running.take() {
            drop(crash);
            // It ends at once, and nothing in it panics.
            let _ = serving.await;
            self.identity.bus.set_running(self.identity.member, false);
        }
    }
}

impl Identity {
    fn run(&self, listener: TcpListener) -> Running {
        let (crash, crashed) = oneshot::channel();
        self.bus.set_running(self.member, true);
        Running {
            crash,
            serving: tokio::spawn(self.clone().serve(listener, crashed)),
        }
    }

    async fn serve(self, listener: TcpListener, mut crashed: oneshot::Receiver<()>) {
        let mut conversations = JoinSet::new();
        loop {
            tokio::select! {
                _ = &mut crashed => break,
                Ok((socket, _)) = listener.accept() => {
                    conversations.spawn(self.clone().converse(socket));
                }
                Some(_) = conversations.join_next() => {}
            }
        }
        drop(listener);
        conversations.shutdown().await;
    }

    /// Serves one client until either has gone.
    async fn converse(self, socket: TcpStream) {
        let config = WebSocketConfig::default().max_message_size(Some(LONGEST_MESSAGE));
        let Ok(websocket) = accept_async_with_config(socket, Some(config)).await else {
            return;
        };
        let (mut send, mut receive) = websocket.split();
        let _presence = self.bus.enter(self.member);
        let (said, backends, mut events) = self.bus.join();
        let mut event = Some(json!({
            "type": "welcome", "backend": &*self.name, "said": said, "backends": backends,
        }));
        loop {
            if let Some(event) = event
                && send.send(Message::text(event.to_string())).await.is_err()
            {
                return;
            }
            event = tokio::select! {
                Some(event) = bus::next(&mut events) => Some(event),
                message = receive.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        self.heard(&text);
                        None
                    }
                    // A browser shows no pings; so the page learns of those that come here.
                    Some(Ok(Message::Ping(_))) => Some(json!({"type": "pinged"})),
                    Some(Ok(_)) => None,
                    None | Some(Err(_)) => return,
                },
            };
        }
    }

    /// Passes on what a client said, if it is anything.
    fn heard(&self, text: &str) {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        let field = |key: &str| message[key].as_str().unwrap_or_default().trim();
        let name: String = field("name").chars().take(LONGEST_NAME).collect();
        if !name.is_empty() && !field("text").is_empty() {
            self.bus
                .say(&self.name, field("person"), &name, field("text"));
        }
    }
}
