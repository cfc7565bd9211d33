//! What happens, as a stream of server-sent events.

use std::sync::Arc;

use bytes::Bytes;
use http::request;
use tokio::sync::{broadcast::error::RecvError, mpsc};

use super::{
    answer::{Answer, events},
    api::Entry,
    desk::Office,
};

/// Events that may wait for a slow reader.
const WAITING: usize = 16;

/// The stream for whoever asks so: first what it has missed of the journal, then what happens.
pub(super) fn stream(office: &Arc<Office>, asked: &request::Parts) -> Answer {
    let (told, coming) = mpsc::channel(WAITING);
    let last = asked.headers.get("last-event-id");
    let last = last.and_then(|id| id.to_str().ok()?.parse().ok());
    tokio::spawn(tell(Arc::clone(office), last.unwrap_or(0), told));
    events(coming)
}

/// Tells until nobody listens any more.
async fn tell(office: Arc<Office>, last: u64, told: mpsc::Sender<Bytes>) {
    let (mut now, mut over) = (office.observer.watch(), office.streams.subscribe());
    let (missed, mut news) = office.journal.since(last);
    let mut last = last;
    // The desk may go, and who reads here then has nothing to wait for.
    let office = {
        let journal = Arc::clone(&office.journal);
        drop(office);
        journal
    };
    for entry in missed {
        last = entry.id;
        if told.send(of_journal(&entry)).await.is_err() {
            return;
        }
    }
    loop {
        let event = tokio::select! {
            () = told.closed() => return,
            _ = over.changed() => return,
            seen = now.changed() => match seen {
                Ok(()) => of("now", None, &now.borrow_and_update()),
                Err(_) => return,
            },
            entry = news.recv() => match entry {
                Ok(entry) => {
                    last = entry.id;
                    of_journal(&entry)
                }
                Err(RecvError::Lagged(_)) => {
                    let (missed, again) = office.since(last);
                    news = again;
                    let Some(latest) = missed.last() else { continue };
                    last = latest.id;
                    missed.iter().map(of_journal).collect::<Vec<_>>().concat().into()
                }
                Err(RecvError::Closed) => return,
            },
        };
        if told.send(event).await.is_err() {
            return;
        }
    }
}

fn of_journal(entry: &Entry) -> Bytes {
    // It has no keys that are no strings.
    let text = serde_json::to_vec(entry).unwrap_or_default();
    of("journal", Some(entry.id), &text)
}

/// An event; JSON that we write has no line breaks.
fn of(kind: &str, id: Option<u64>, data: &[u8]) -> Bytes {
    let mut event = format!("event: {kind}\n").into_bytes();
    if let Some(id) = id {
        event.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    event.extend_from_slice(b"data: ");
    event.extend_from_slice(data);
    event.extend_from_slice(b"\n\n");
    event.into()
}
