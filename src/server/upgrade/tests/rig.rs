//! Two processes in one, and tunnels to move between them.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use serde::{Deserialize, Serialize, Serializer, ser::Error};
use serde_json::{Value, json};
use tokio::{
    net::UnixStream,
    sync::{mpsc, oneshot},
    task::yield_now,
};

use crate::{
    handover::{Channel, Receiver, Sender},
    server::upgrade::{Answer, Arriving, Given, Giving, Offer, Parcel, Taking},
};

pub(super) const WITHIN: Duration = Duration::from_secs(30);

/// What the other process has to know of a tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) enum Dossier {
    Named(String),
    Huge(usize),
    /// It cannot be written down.
    Secret,
}

/// The far ends of a tunnel: the client and the backend.
pub(super) struct Ends {
    client: TcpStream,
    backend: TcpStream,
}

/// A tunnel that was offered, and its far ends.
pub(super) struct Offered {
    pub(super) ends: Ends,
    pub(super) answer: oneshot::Receiver<Answer<Dossier>>,
}

/// A process that speaks for itself.
pub(super) struct Rude {
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
}

impl Serialize for Dossier {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Named(name) => to.serialize_newtype_variant("Dossier", 0, "Named", name),
            Self::Huge(length) => to.serialize_str(&"x".repeat(*length)),
            Self::Secret => Err(S::Error::custom("it is secret")),
        }
    }
}

/// The ends of the channel between an old and a new process.
pub(super) fn channel() -> (Channel, Channel) {
    let (old, new) = UnixStream::pair().unwrap();
    (old.into(), new.into())
}

/// Two processes of which the new one is ready.
pub(super) async fn ready() -> (Giving, Arriving) {
    let (old, new) = channel();
    let taking = async {
        let (taking, _) = Taking::begin(new).await.unwrap();
        taking.ready().await.unwrap()
    };
    let (giving, arriving) = tokio::join!(Giving::begin(old, &[], Value::Null, WITHIN), taking);
    (giving.unwrap(), arriving)
}

/// An old process, and a new one that is ready and speaks for itself.
pub(super) async fn ready_for_the_rude() -> (Giving, Rude) {
    let (old, new) = channel();
    let new = async {
        let mut new = Rude::greeted(new).await;
        new.hear().await;
        new.say(&json!({ "ready": {} })).await;
        new
    };
    let (giving, new) = tokio::join!(Giving::begin(old, &[], Value::Null, WITHIN), new);
    (giving.unwrap(), new)
}

/// An old process that speaks for itself, and a new one that is ready.
pub(super) async fn rude_and_ready() -> (Rude, Arriving) {
    let (old, new) = channel();
    let old = async {
        let mut old = Rude::greeted(old).await;
        old.say(&json!({ "memory": null })).await;
        assert_eq!(old.hear().await, json!({ "ready": {} }));
        old
    };
    let new = async {
        let (taking, _) = Taking::begin(new).await.unwrap();
        taking.ready().await.unwrap()
    };
    tokio::join!(old, new)
}

impl Rude {
    async fn greeted(channel: Channel) -> Self {
        let (sender, receiver, _) = channel.greet().await.unwrap();
        Self { sender, receiver }
    }

    pub(super) async fn say(&mut self, what: &Value) {
        self.sender.send(what, &[]).await.unwrap();
    }

    pub(super) async fn hear(&mut self) -> Value {
        self.receiver.receive().await.unwrap().unwrap().value
    }

    /// The number of the tunnel that comes next.
    pub(super) async fn tunnel(&mut self) -> u64 {
        self.hear().await["tunnel"]["id"].as_u64().unwrap()
    }
}

/// A tunnel between two sockets that nobody moves bytes through.
pub(super) fn tunnel(dossier: Dossier) -> (Ends, Parcel<Dossier>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let pair = || {
        let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (far, listener.accept().unwrap().0)
    };
    let ((client, to_client), (backend, to_backend)) = (pair(), pair());
    let parcel = Parcel {
        client: to_client.into(),
        backend: to_backend.into(),
        dossier,
    };
    (Ends { client, backend }, parcel)
}

pub(super) fn named(name: &(impl ToString + ?Sized)) -> Dossier {
    Dossier::Named(name.to_string())
}

/// Gives these tunnels, in their order, and tells what became of them all.
pub(super) fn give(
    giving: Giving,
    dossiers: impl IntoIterator<Item = Dossier>,
) -> (Vec<Offered>, impl Future<Output = Given>) {
    let (offers, offered) = mpsc::channel(1000);
    let offer = |dossier| {
        let (ends, parcel) = tunnel(dossier);
        let (told, answer) = oneshot::channel();
        let offer = Offer {
            parcel,
            answer: told,
        };
        offers.try_send(offer).unwrap();
        Offered { ends, answer }
    };
    let all = dossiers.into_iter().map(offer).collect();
    (all, giving.give(offered))
}

impl Offered {
    /// Whether the other process has taken it.
    pub(super) fn is_taken(&mut self) -> bool {
        matches!(self.answer.try_recv(), Ok(Answer::Taken))
    }

    /// It has come back, for this reason, and is as good as before.
    pub(super) fn returned(self) -> String {
        let Self { ends, mut answer } = self;
        let Ok(Answer::Returned(parcel, reason)) = answer.try_recv() else {
            panic!("it has not come back");
        };
        ends.talk_through(parcel);
        reason
    }
}

impl Ends {
    /// The two ends can talk through the sockets in between.
    pub(super) fn talk_through(self, parcel: Parcel<Dossier>) {
        let (to_client, to_backend) = (parcel.client.into(), parcel.backend.into());
        pass(self.client, to_client, to_backend, self.backend);
    }
}

fn pass(
    mut client: TcpStream,
    mut to_client: TcpStream,
    mut to_backend: TcpStream,
    mut backend: TcpStream,
) {
    for reader in [&to_client, &backend] {
        reader.set_read_timeout(Some(WITHIN)).unwrap();
    }
    let mut byte = [0];
    client.write_all(b"x").unwrap();
    to_client.read_exact(&mut byte).unwrap();
    to_backend.write_all(&byte).unwrap();
    backend.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"x");
}

/// Lets everything else run as far as it goes.
pub(super) async fn all_is_quiet() {
    for _ in 0..100 {
        yield_now().await;
    }
}

/// Lets everything else run until `holds` does.
pub(super) async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..10_000_000 {
        if holds() {
            return;
        }
        yield_now().await;
    }
    panic!("what was waited for does not come");
}
