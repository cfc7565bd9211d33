use std::{collections::HashMap, sync::Arc};

use futures_util::{SinkExt, StreamExt};
use tokio::{sync::watch, task::JoinHandle};
use tokio_tungstenite::tungstenite::{self, Message};

use super::{End, Entrance, enter};

/// Clients that come without end: each says a word, hears it again, and leaves.
pub(crate) struct Newcomers {
    coming: Vec<JoinHandle<Visits>>,
    count: watch::Receiver<usize>,
    enough: Arc<watch::Sender<bool>>,
}

/// What became of newcomers.
#[derive(Debug, Default)]
pub(crate) struct Visits {
    pub(crate) served: usize,
    /// Who was told to close with that code before all was done.
    pub(crate) told: HashMap<End, usize>,
    /// What went wrong.
    pub(crate) faults: Vec<String>,
}

impl Newcomers {
    /// One at a time comes by each of these entrances.
    pub(crate) fn begin(entrances: &[Entrance]) -> Self {
        let enough = Arc::new(watch::Sender::new(false));
        let (counter, count) = watch::channel(0);
        let coming = entrances.iter().map(|entrance| {
            tokio::spawn(come(entrance.clone(), enough.subscribe(), counter.clone()))
        });
        Self {
            coming: coming.collect(),
            count,
            enough: Arc::clone(&enough),
        }
    }

    /// Waits until so many more have come and left.
    pub(crate) async fn go_on_for(&mut self, more: usize) {
        let until = *self.count.borrow() + more;
        self.count.wait_for(|count| *count >= until).await.unwrap();
    }

    /// Nobody comes any more.
    pub(crate) async fn end(self) -> Visits {
        self.enough.send_replace(true);
        let mut all = Visits::default();
        for coming in self.coming {
            let visits = coming.await.unwrap();
            all.served += visits.served;
            all.faults.extend(visits.faults);
            for (end, count) in visits.told {
                *all.told.entry(end).or_default() += count;
            }
        }
        all
    }
}

async fn come(
    entrance: Entrance,
    enough: watch::Receiver<bool>,
    count: watch::Sender<usize>,
) -> Visits {
    let mut visits = Visits::default();
    while !*enough.borrow() {
        match visit(&entrance).await {
            Ok(None) => visits.served += 1,
            Ok(Some(end)) => *visits.told.entry(end).or_default() += 1,
            Err(error) => visits.faults.push(format!("{error:?}")),
        }
        count.send_modify(|count| *count += 1);
    }
    visits
}

/// Says a word and hears it, or is told to close before that.
async fn visit(entrance: &Entrance) -> Result<Option<End>, tungstenite::Error> {
    let mut websocket = enter(entrance, "/once").await?;
    websocket.send(Message::text("hello")).await?;
    let told = match websocket.next().await {
        Some(Ok(Message::Text(text))) if text == "hello" => None,
        Some(Ok(Message::Close(Some(close)))) => Some(End(close.code.into())),
        Some(Err(error)) => return Err(error),
        other => panic!("no echo but {other:?}"),
    };
    if told.is_none() {
        // A Close of the proxy may have been quicker.
        let _ = websocket.close(None).await;
    }
    while let Some(message) = websocket.next().await {
        message?;
    }
    Ok(told)
}
