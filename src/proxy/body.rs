//! Bodies on their way through: streamed, never gathered.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http1::SendRequest};
use tokio::{
    sync::oneshot,
    time::{Sleep, sleep},
};

use super::access::Record;
use crate::pool::{
    backend::Lease,
    idle::{BodyError, IdleConnections, RequestBody},
};

/// How long a client that expects `100 Continue` is kept waiting for a backend that does not know
/// of it (RFC 9110, section 10.1.1, asks for no longer than one can bear).
const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);

/// A request's body on its way to a backend.
#[derive(Debug)]
pub(super) struct Upload {
    incoming: Incoming,
    /// Frames passed so far.
    progress: Arc<AtomicUsize>,
    gate: Option<Gate>,
}

/// What holds a body back until the backend asks for it: only then is the client asked too.
#[derive(Debug)]
struct Gate {
    opened: oneshot::Receiver<()>,
    patience: Pin<Box<Sleep>>,
}

impl Upload {
    /// A body that counts its frames in `progress`.
    pub(super) fn new(incoming: Incoming, progress: Arc<AtomicUsize>) -> Self {
        Self {
            incoming,
            progress,
            gate: None,
        }
    }

    /// Holds the body back until `opened` is told.
    pub(super) fn wait_for(&mut self, opened: oneshot::Receiver<()>) {
        self.gate = Some(Gate {
            opened,
            patience: Box::pin(sleep(CONTINUE_PATIENCE)),
        });
    }
}

impl Gate {
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // A sender that is gone will not open it: then only patience does.
        if let Poll::Ready(Ok(())) = Pin::new(&mut self.opened).poll(cx) {
            return Poll::Ready(());
        }
        self.patience.as_mut().poll(cx)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(gate) = &mut self.gate {
            ready!(gate.poll_open(cx));
            self.gate = None;
        }
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        self.progress.fetch_add(1, Relaxed);
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// A response's body on its way to the client.
#[derive(Debug)]
pub(super) enum ReplyBody {
    /// Ours.
    Own(Full<Bytes>),
    /// A backend's.
    Forwarded(Box<Download>),
}

/// A backend's body, and what becomes free when it has passed.
#[derive(Debug)]
pub(super) struct Download {
    incoming: Incoming,
    status: StatusCode,
    record: Arc<Record>,
    bytes: u64,
    has_ended: bool,
    connection: Option<Reusable>,
    _lease: Lease,
}

/// A connection that takes another request once this response has passed.
#[derive(Debug)]
pub(super) struct Reusable {
    pub(super) sender: SendRequest<RequestBody>,
    pub(super) home: Arc<IdleConnections>,
    pub(super) worker: usize,
}

impl Download {
    pub(super) fn new(
        incoming: Incoming,
        status: StatusCode,
        record: Arc<Record>,
        lease: Lease,
        connection: Option<Reusable>,
    ) -> Self {
        Self {
            incoming,
            status,
            record,
            bytes: 0,
            has_ended: false,
            connection,
            _lease: lease,
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        let is_whole = self.has_ended || self.incoming.is_end_stream();
        if let Some(connection) = self.connection.take().filter(|_| is_whole) {
            connection.park();
        }
        self.record.answered(self.status, self.bytes, is_whole);
    }
}

impl Reusable {
    fn park(mut self) {
        if self.sender.is_ready() {
            self.home.park(self.worker, self.sender);
            return;
        }
        // The connection has yet to notice that its response has passed.
        tokio::spawn(async move {
            if self.sender.ready().await.is_ok() {
                self.home.park(self.worker, self.sender);
            }
        });
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Own(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Self::Forwarded(download) => {
                let frame = ready!(Pin::new(&mut download.incoming).poll_frame(cx));
                match &frame {
                    Some(Ok(frame)) => {
                        download.bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
                    }
                    Some(Err(_)) => {}
                    None => download.has_ended = true,
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Forwarded(download) => download.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Forwarded(download) => download.incoming.size_hint(),
        }
    }
}
