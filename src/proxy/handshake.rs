//! A WebSocket handshake with the backends: one after the other is asked until one has answered.

use std::{
    future::{pending, poll_fn},
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use http::{Request, Response, StatusCode, request};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::TrySendError};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::debug;

use super::{access::Record, login::Login, reply::Rejection};
use crate::{
    config::Timeouts,
    pool::{
        AnswerLimits, Pool, Selection,
        admission::{Crowded, Kind, Pass, Scope},
        backend::{Backend, Lease, Use},
        idle::{HttpConnection, RequestBody},
        outlier::Seen,
    },
    stream::Stream,
    websocket::handshake::BadAnswer,
};

/// What a handshake goes to backends with.
pub(super) struct Handshake<'r> {
    pub(super) pool: &'r Pool,
    pub(super) timeouts: &'r Timeouts,
    pub(super) record: &'r Record,
    pub(super) client: IpAddr,
}

/// A backend's answer, and the connection that it comes over.
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    pub(super) connection: HttpConnection,
}

/// The backends that are being asked, each a future of its own.
#[derive(Default)]
struct Underway<'h> {
    attempts: Vec<Pin<Box<dyn Future<Output = Step> + Send + 'h>>>,
}

/// How far an attempt has come.
enum Step {
    /// The backend is connected to, and can be asked.
    Connected(Connected),
    /// It has answered, or failed.
    Ended(Lease, Result<Answer, Rejection>),
}

/// A backend that is connected to.
struct Connected {
    lease: Lease,
    stream: Stream,
    pass: Pass,
}

/// A backend that may be slow: from when on another one is asked beside it.
struct Slow {
    backend: Arc<Backend>,
    since: Instant,
}

impl Handshake<'_> {
    /// The first answer of a backend that is to be the client's. If none is, the last one's answer
    /// or failure.
    pub(super) async fn ask(
        &self,
        selection: &mut Selection<'_>,
        head: &request::Parts,
    ) -> Result<(Lease, Answer), Rejection> {
        let deadline = Instant::now() + self.timeouts.handshake;
        let Some(first) = selection.next() else {
            return Err(Rejection::of_all(selection));
        };
        let mut underway = Underway::default();
        underway.begin(self.connect(first, deadline));
        // The one asked last, and those beside which another was asked.
        let mut asked: Option<Slow> = None;
        let mut overdue: Vec<Arc<Backend>> = Vec::new();
        loop {
            let since = asked.as_ref().map(|slow| slow.since);
            let step = tokio::select! {
                biased;
                step = underway.next() => step,
                () = until(since) => {
                    if let (Some(slow), Some(next)) = (asked.take(), selection.next()) {
                        overdue.push(slow.backend);
                        underway.begin(self.connect(next, deadline));
                    }
                    continue;
                }
            };
            let (lease, answered) = match step {
                Step::Connected(connected) => {
                    asked = self.timeouts.answer.map(|patience| Slow {
                        backend: Arc::clone(connected.lease.backend()),
                        since: Instant::now() + patience,
                    });
                    underway.begin(self.hear(connected, head.clone(), deadline));
                    continue;
                }
                Step::Ended(lease, answered) => (lease, answered),
            };
            overdue.retain(|backend| backend.id() != lease.backend().id());
            if self.is_final(&answered) {
                for backend in &overdue {
                    self.note(backend, Seen::Silent, &Rejection::TimedOut);
                }
                self.record.tries(lease.backend());
                return answered.map(|answer| (lease, answer));
            }
            // Where it was the best of all to wait for, nobody else is asked.
            let is_crowded = matches!(answered, Err(Rejection::Crowded(_)));
            let goes_on = !is_crowded && Instant::now() < deadline;
            let next = if goes_on { selection.next() } else { None };
            match next {
                Some(next) => {
                    asked = None;
                    underway.begin(self.connect(next, deadline));
                }
                None if underway.is_empty() => {
                    return answered.map(|answer| (lease, answer));
                }
                None => {}
            }
        }
    }

    /// Asks over the connection that the client has logged in over. `None` if that has ended and the
    /// client can log in anew.
    pub(super) async fn ask_over(
        &self,
        login: Login,
        head: &request::Parts,
    ) -> Result<Option<(Lease, Answer)>, Rejection> {
        let member = self.pool.member_with(login.backend.id());
        let lease = member.and_then(|member| Lease::of(member, Use::Tunnel));
        let lease = lease.ok_or(Rejection::NoRoom)?;
        let backend = lease.backend();
        self.record.tries(backend);
        let deadline = Instant::now() + self.timeouts.handshake;
        let crowded = |_| {
            let scope = Scope::Backend;
            Crowded {
                kind: Kind::Handshakes,
                scope,
            }
        };
        let admitted = timeout_at(deadline, backend.admit()).await;
        let _pass = admitted.map_err(crowded)??;
        let answered = answer_over(login.connection, head.clone());
        match timeout_at(deadline, answered).await {
            Ok(Ok(answer)) => {
                self.note_answer(backend, &answer);
                Ok(Some((lease, answer)))
            }
            Ok(Err(_)) if login.is_challenged => Err(Rejection::LoginLost),
            Ok(Err(_)) => Ok(None),
            Err(_) => {
                self.note(backend, Seen::Silent, &Rejection::TimedOut);
                Err(Rejection::TimedOut)
            }
        }
    }

    /// Whether that is the client's, whatever others would say.
    fn is_final(&self, answered: &Result<Answer, Rejection>) -> bool {
        let answer = answered.as_ref();
        answer.is_ok_and(|answer| !self.pool.retries_after(answer.response.status()))
    }

    /// Connects to a backend, once that lets one more in.
    async fn connect(&self, lease: Lease, deadline: Instant) -> Step {
        self.record.tries(lease.backend());
        match self.connected(lease.backend(), deadline).await {
            Ok((stream, pass)) => Step::Connected(Connected {
                lease,
                stream,
                pass,
            }),
            Err(rejection) => Step::Ended(lease, Err(rejection)),
        }
    }

    async fn connected(
        &self,
        backend: &Backend,
        deadline: Instant,
    ) -> Result<(Stream, Pass), Rejection> {
        let admitted = timeout_at(deadline, backend.admit()).await;
        let pass = admitted.unwrap_or(Err(Crowded {
            kind: Kind::Handshakes,
            scope: Scope::Backend,
        }))?;
        let connecting = self
            .pool
            .connect(backend, self.client, self.timeouts.connect);
        match timeout_at(deadline, connecting).await {
            Ok(connected) => {
                let stream = connected.inspect_err(|error| {
                    debug!(backend = backend.name(), %error, "a backend cannot be connected to");
                })?;
                Ok((stream, pass))
            }
            // Most of the time was others': it says little of this one.
            Err(_) => Err(Rejection::TimedOut),
        }
    }

    /// Asks a backend, and waits for its answer until the deadline.
    async fn hear(&self, connected: Connected, head: request::Parts, deadline: Instant) -> Step {
        let Connected {
            lease,
            stream,
            pass: _pass,
        } = connected;
        let backend = lease.backend();
        let asked = Instant::now();
        let limits = self.pool.answer_limits();
        let answered = match timeout_at(deadline, answer(stream, head, limits)).await {
            Ok(Ok(answer)) => {
                self.note_answer(backend, &answer);
                Ok(answer)
            }
            Ok(Err(error)) => {
                let seen = seen_in_failure(&error);
                let rejection = Rejection::of_answer(error, limits);
                self.note(backend, seen, &rejection);
                Err(rejection)
            }
            Err(_) => {
                // One that was asked late has not had its time.
                if asked.elapsed() >= self.fair_time() {
                    self.note(backend, Seen::Silent, &Rejection::TimedOut);
                }
                Err(Rejection::TimedOut)
            }
        };
        Step::Ended(lease, answered)
    }

    /// How long a backend has to be silent for that to be its own fault.
    fn fair_time(&self) -> Duration {
        let half = self.timeouts.handshake / 2;
        self.timeouts.answer.map_or(half, |answer| answer.min(half))
    }

    fn note_answer(&self, backend: &Backend, answer: &Answer) {
        if let Some(seen) = seen_in_answer(answer.response.status()) {
            self.pool.note(backend, seen, self.client);
        }
    }

    fn note(&self, backend: &Backend, seen: Seen, rejection: &Rejection) {
        debug!(backend = backend.name(), error = %rejection, "a backend failed a handshake");
        self.pool.note(backend, seen, self.client);
    }
}

impl<'h> Underway<'h> {
    fn begin(&mut self, attempt: impl Future<Output = Step> + Send + 'h) {
        self.attempts.push(Box::pin(attempt));
    }

    fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// The next step of any of them; an attempt that has made one is over.
    async fn next(&mut self) -> Step {
        poll_fn(|cx| {
            for index in 0..self.attempts.len() {
                if let Poll::Ready(step) = self.attempts[index].as_mut().poll(cx) {
                    drop(self.attempts.swap_remove(index));
                    return Poll::Ready(step);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Waits until then; without a time, for ever.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

/// What an answer of that status shows of a backend; a 101 shows nothing before it is checked.
pub(super) fn seen_in_answer(status: StatusCode) -> Option<Seen> {
    match status {
        StatusCode::SWITCHING_PROTOCOLS => None,
        status if status.is_server_error() => Some(Seen::Erred),
        _ => Some(Seen::Answered),
    }
}

/// What it shows of a backend that there was no answer, or none that can be read.
pub(super) fn seen_in_failure(error: &hyper::Error) -> Seen {
    if error.is_parse() {
        Seen::Erred
    } else {
        Seen::Silent
    }
}

/// What a backend's 101 shows of it once it is checked.
pub(super) fn seen_in_grant<T>(granted: &Result<T, BadAnswer>) -> Seen {
    match granted {
        Ok(_) => Seen::Granted,
        Err(bad) if bad.depends_on_offer() => Seen::Misfit,
        Err(_) => Seen::Wrong,
    }
}

/// A backend's answer to a handshake. Nothing that the client sends behind its own part goes to the
/// backend before.
pub(super) async fn answer(
    stream: Stream,
    head: request::Parts,
    limits: AnswerLimits,
) -> Result<Answer, hyper::Error> {
    answer_over(HttpConnection::over(stream, limits).await?, head).await
}

/// The same to a request to switch to another protocol.
pub(super) async fn answer_to(
    stream: Stream,
    request: Request<RequestBody>,
    limits: AnswerLimits,
) -> Result<Answer, hyper::Error> {
    send_over(HttpConnection::over(stream, limits).await?, request).await
}

async fn answer_over(
    connection: HttpConnection,
    head: request::Parts,
) -> Result<Answer, hyper::Error> {
    let body = Empty::new().map_err(|never| match never {});
    let request = Request::from_parts(head, RequestBody::new(body));
    send_over(connection, request).await
}

async fn send_over(
    mut connection: HttpConnection,
    request: Request<RequestBody>,
) -> Result<Answer, hyper::Error> {
    let answered = connection.send(request).await;
    let response = answered.map_err(TrySendError::into_error)?;
    Ok(Answer {
        response,
        connection,
    })
}
