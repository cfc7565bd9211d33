//! The new process's part.

use std::{fmt, os::fd::OwnedFd};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Broken, FromNew, FromOld, Parcel};
use crate::{
    handover::{Channel, Receiver, Sender},
    listener::Inherited,
};

/// A process that has what it needs to get ready, and is waited for.
#[derive(Debug)]
pub struct Taking {
    sender: Sender,
    receiver: Receiver,
}

/// What the old process leaves to the new one before that serves. Its `Debug` does not show what
/// pools remember, which has secrets in it.
pub struct Estate {
    /// Its listening sockets.
    pub inherited: Inherited,
    /// What its pools remember, in parts.
    pub memory: Vec<Value>,
    /// Its version of longwire.
    pub version: String,
}

impl fmt::Debug for Estate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Estate")
            .field("inherited", &self.inherited)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// A process that serves, and that tunnels are still coming to.
#[derive(Debug)]
pub struct Arriving {
    sender: Sender,
    receiver: Receiver,
}

impl Taking {
    /// Hears what the old process leaves to this one.
    ///
    /// # Errors
    /// If it cannot be understood, or is not complete.
    pub async fn begin(channel: Channel) -> Result<(Self, Estate), Broken> {
        let (sender, mut receiver, hello) = channel.greet().await?;
        let (mut inherited, mut parts) = (Inherited::default(), Vec::new());
        loop {
            let received = receiver.receive().await?.ok_or(Broken::Left)?;
            match received.value {
                FromOld::<Value>::Sockets {} if received.missing > 0 => {
                    return Err(Broken::Incomplete(received.missing));
                }
                FromOld::Sockets {} => {
                    let mut sockets = received.descriptors.into_iter();
                    let added = sockets.try_for_each(|socket| inherited.add(socket));
                    added.map_err(Broken::Socket)?;
                }
                FromOld::Clients(part) => parts.push(part),
                FromOld::Memory(memory) => {
                    parts.push(memory);
                    let estate = Estate {
                        inherited,
                        memory: parts,
                        version: hello.version,
                    };
                    return Ok((Self { sender, receiver }, estate));
                }
                other => return Err(Broken::Confused(other.name())),
            }
        }
    }

    /// Says that this process serves. From now on the old one may accept no more.
    ///
    /// # Errors
    /// If the old one has given up on this one: then it still serves, and this one must not.
    pub async fn ready(mut self) -> Result<Arriving, Broken> {
        self.sender.send(&FromNew::Ready {}, &[]).await?;
        let Self { sender, receiver } = self;
        Ok(Arriving { sender, receiver })
    }

    /// Says why this process cannot serve.
    pub async fn fail(mut self, reason: String) {
        // Nobody is left to hear why it cannot be said.
        let _ = self.sender.send(&FromNew::Failed { reason }, &[]).await;
    }
}

impl Arriving {
    /// Has `adopt` take each tunnel that comes, or say why not, until the old process has no more.
    /// An adopted tunnel is given the word to go on when it is this process's own. Until then, and
    /// also if it never is and the word is dropped, it is to read nothing from its sockets, write
    /// nothing to them and shut down neither. Gives how many it has taken.
    ///
    /// # Errors
    /// If the old process is not heard of any more. What was taken remains so.
    pub async fn take<D, G>(
        mut self,
        mut adopt: impl FnMut(Parcel<D>) -> Result<G, String>,
    ) -> Result<usize, Broken>
    where
        D: DeserializeOwned,
        G: FnOnce(),
    {
        let mut taken = 0;
        loop {
            let received = self.receiver.receive().await?.ok_or(Broken::Left)?;
            let (id, dossier) = match received.value {
                FromOld::<Value>::Tunnel { id, dossier } => (id, dossier),
                FromOld::Done {} => return Ok(taken),
                other => return Err(Broken::Confused(other.name())),
            };
            match unpack(received.descriptors, dossier).and_then(&mut adopt) {
                Ok(go_on) => {
                    self.sender.send(&FromNew::Taken { id }, &[]).await?;
                    taken += 1;
                    go_on();
                }
                Err(reason) => {
                    let refused = FromNew::Refused { id, reason };
                    self.sender.send(&refused, &[]).await?;
                }
            }
        }
    }
}

fn unpack<D: DeserializeOwned>(sockets: Vec<OwnedFd>, dossier: Value) -> Result<Parcel<D>, String> {
    let Ok([client, backend]) = <[_; 2]>::try_from(sockets) else {
        return Err("its sockets are lost: there are too many open files".to_owned());
    };
    let dossier = serde_json::from_value(dossier)
        .map_err(|error| format!("its dossier makes no sense: {error}"))?;
    Ok(Parcel {
        client,
        backend,
        dossier,
    })
}
