//! Bodies on their way through: streamed, never gathered.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::{
    sync::oneshot,
    time::{Instant, Sleep, sleep, timeout},
};

use super::{
    access::Record,
    headers,
    login::{Login, Logins},
    pace::Pace,
};
use crate::pool::{
    backend::{Backend, Lease},
    idle::{BodyError, HttpConnection, IdleConnections},
    standing::State,
};

/// How long a client that expects `100 Continue` is kept waiting for a backend that does not know
/// of it (RFC 9110, section 10.1.1, asks for no longer than one can bear).
const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);

/// How long the rest of a request's body may take after its response has passed.
pub(super) const LEFTOVER_PATIENCE: Duration = Duration::from_secs(5);

/// A request's body on its way to a backend.
#[derive(Debug)]
pub(super) struct Upload {
    incoming: Incoming,
    progress: Arc<Progress>,
    gate: Gate,
    /// How much of it may still come; `None` is any.
    left: Option<u64>,
    pace: Option<Pace>,
}

/// What bounds a request's body.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyBounds {
    /// The most bytes that it may have; `None` is no limit.
    pub(super) most: Option<u64>,
    /// How long each piece of it may take; `None` is no limit.
    pub(super) pace: Option<Duration>,
}

/// What is wrong with a body that its client has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum BodyFault {
    #[error("the client's body is too large")]
    TooLarge,
    #[error("the client's body comes too slowly")]
    TooSlow,
}

/// How a request's body gets on, for whoever waits for the backend's answer meanwhile.
#[derive(Debug, Default)]
pub(super) struct Progress {
    frames: AtomicUsize,
    waits_for_client: AtomicBool,
    is_broken: AtomicBool,
    is_too_large: AtomicBool,
    is_too_slow: AtomicBool,
}

/// What holds a body back until the backend asks for it: only then is the client asked too.
#[derive(Debug)]
enum Gate {
    Open,
    Waiting {
        /// Is told when the backend asks, and dropped when it has answered without asking.
        asked: oneshot::Receiver<()>,
        /// Begins with the first look at the body: then the head is on its way.
        patience: Option<Pin<Box<Sleep>>>,
    },
    /// The backend has answered, and the answer is not for this body.
    Shut,
}

impl Upload {
    /// A body that says in `progress` how it gets on, and fails beyond those `bounds`.
    pub(super) fn new(incoming: Incoming, progress: Arc<Progress>, bounds: BodyBounds) -> Self {
        Self {
            incoming,
            progress,
            gate: Gate::Open,
            left: bounds.most,
            pace: bounds.pace.map(Pace::new),
        }
    }

    /// Fails when the client has sent more than it may.
    fn check_size(&mut self, bytes: usize) -> Result<(), BodyFault> {
        let Some(left) = &mut self.left else {
            return Ok(());
        };
        match left.checked_sub(bytes as u64) {
            Some(less) => *left = less,
            None => {
                self.progress.is_too_large.store(true, Relaxed);
                return Err(BodyFault::TooLarge);
            }
        }
        Ok(())
    }

    /// Fails when the client has been too slow.
    fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<BodyFault> {
        let Some(pace) = &mut self.pace else {
            return Poll::Pending;
        };
        ready!(pace.poll_over(cx));
        self.progress.is_too_slow.store(true, Relaxed);
        Poll::Ready(BodyFault::TooSlow)
    }

    /// Holds the body back until `asked` is told.
    pub(super) fn wait_for(&mut self, asked: oneshot::Receiver<()>) {
        self.gate = Gate::Waiting {
            asked,
            patience: None,
        };
    }
}

impl Progress {
    /// Frames that the backend's connection has taken so far.
    pub(super) fn frames(&self) -> usize {
        self.frames.load(Relaxed)
    }

    /// Whether more would be sent if the client had sent it.
    pub(super) fn waits_for_client(&self) -> bool {
        self.waits_for_client.load(Relaxed)
    }

    /// Whether more has come of it than may.
    pub(super) fn is_too_large(&self) -> bool {
        self.is_too_large.load(Relaxed)
    }

    /// Whether it came too slowly.
    pub(super) fn is_too_slow(&self) -> bool {
        self.is_too_slow.load(Relaxed)
    }

    /// Whether the client has left amidst its body, or sent none that can be read.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.load(Relaxed)
    }

    fn saw(&self, frame: &Poll<Option<Result<Frame<Bytes>, hyper::Error>>>) {
        self.waits_for_client.store(frame.is_pending(), Relaxed);
        match frame {
            Poll::Ready(Some(Ok(_))) => {
                self.frames.fetch_add(1, Relaxed);
            }
            Poll::Ready(Some(Err(_))) => self.is_broken.store(true, Relaxed),
            Poll::Ready(None) | Poll::Pending => {}
        }
    }
}

impl Gate {
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Waiting { asked, patience } = self {
            *self = match Pin::new(asked).poll(cx) {
                Poll::Ready(Ok(())) => Self::Open,
                Poll::Ready(Err(_)) => Self::Shut,
                Poll::Pending => {
                    let begin = || Box::pin(sleep(CONTINUE_PATIENCE));
                    ready!(patience.get_or_insert_with(begin).as_mut().poll(cx));
                    Self::Open
                }
            };
        }
        if matches!(self, Self::Shut) {
            // Nothing wakes the body again, and nothing has to: its connection ends with the answer.
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        ready!(self.gate.poll_open(cx));
        let frame = Pin::new(&mut self.incoming).poll_frame(cx);
        self.progress.saw(&frame);
        match frame.map_ok(clean) {
            Poll::Pending => self.poll_too_slow(cx).map(|fault| Some(Err(fault.into()))),
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                if let Some(pace) = &mut self.pace {
                    pace.heard(bytes);
                }
                let checked = self.check_size(bytes);
                Poll::Ready(Some(checked.map(|()| frame).map_err(BodyError::from)))
            }
            Poll::Ready(ended) => Poll::Ready(ended.map(|frame| frame.map_err(BodyError::from))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// A frame of a request's body without what nobody may say in trailers.
fn clean(mut frame: Frame<Bytes>) -> Frame<Bytes> {
    if let Some(trailers) = frame.trailers_mut() {
        headers::clean_trailers(trailers);
    }
    frame
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
    connection: Option<Carrier>,
    _lease: Lease,
}

/// The connection that a response comes over.
#[derive(Debug)]
pub(super) struct Carrier {
    pub(super) connection: HttpConnection,
    /// Where it waits for another request once this response has passed; `None` if it can take no
    /// other.
    pub(super) home: Option<Home>,
}

/// Where a connection to a backend waits for its next request.
#[derive(Debug)]
pub(super) enum Home {
    /// Among those of a worker, for anybody.
    Anybody(Arc<IdleConnections>, usize),
    /// With the client's connection, for that client alone: it has logged in over it.
    Client {
        logins: Arc<Logins>,
        backend: Arc<Backend>,
        is_challenged: bool,
    },
}

impl Download {
    pub(super) fn new(
        incoming: Incoming,
        status: StatusCode,
        record: Arc<Record>,
        lease: Lease,
        connection: Option<Carrier>,
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

impl Home {
    /// Whether the client is to log in anew, on a connection of its own, after a response with these
    /// `headers`: the backend leaves the login's connection, or is itself about to be left. Nobody is
    /// sent away amidst a login.
    pub(super) fn is_left_after(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Anybody(..) => false,
            Self::Client {
                backend,
                is_challenged,
                ..
            } => {
                let is_draining = backend.state(Instant::now()) == State::Draining;
                headers::announces_close(headers) || is_draining && !is_challenged
            }
        }
    }
}

impl Carrier {
    fn park(self) {
        let mut connection = self.connection;
        let (home, worker) = match self.home {
            None => return,
            Some(Home::Anybody(home, worker)) => (home, worker),
            Some(Home::Client {
                logins,
                backend,
                is_challenged,
            }) => {
                // At once, for the next request must not miss it.
                return logins.keep(Login {
                    connection,
                    backend,
                    is_challenged,
                });
            }
        };
        if connection.is_ready() {
            home.park(worker, connection);
            return;
        }
        // The connection has yet to notice that its response has passed, or the request's body is
        // still on its way, which nobody needs any more.
        tokio::spawn(async move {
            if let Ok(Ok(())) = timeout(LEFTOVER_PATIENCE, connection.ready()).await {
                home.park(worker, connection);
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
