//! A WebSocket handshake with the backends: one after the other is asked until one has answered.

use std::{pin::pin, time::Duration};

use http::{Request, Response, StatusCode, request};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::TrySendError};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::{access::Record, login::Login, reply::Rejection};
use crate::{
    config::Timeouts,
    pool::{
        Pool, Selection,
        admission::{Crowded, Scope},
        backend::{Backend, Lease, Use},
        idle::{HttpConnection, RequestBody},
        outlier::Seen,
    },
    stream::Stream,
};

/// What a handshake goes to backends with.
pub(super) struct Handshake<'r> {
    pub(super) pool: &'r Pool,
    pub(super) timeouts: &'r Timeouts,
    pub(super) record: &'r Record,
}

/// A backend's answer, and the connection that it comes over.
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    pub(super) connection: HttpConnection,
}

/// What became of one attempt.
enum Attempt {
    /// The backend has answered, or failed.
    Done(Result<Answer, Rejection>),
    /// It was too slow, and this one is to be asked instead.
    Overtaken(Lease),
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
        let Some(mut lease) = selection.next() else {
            return Err(Rejection::of_all(selection));
        };
        loop {
            let answered = match self.attempt(&lease, head, deadline, selection).await {
                Attempt::Done(answered) => answered,
                Attempt::Overtaken(next) => {
                    lease = next;
                    continue;
                }
            };
            let goes_on = match &answered {
                Ok(answer) => self.pool.retries_after(answer.response.status()),
                // It was the best of all to wait for.
                Err(Rejection::Crowded(_)) => false,
                Err(_) => Instant::now() < deadline,
            };
            let next = if goes_on { selection.next() } else { None };
            match next {
                Some(next) => lease = next,
                None => return answered.map(|answer| (lease, answer)),
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
            Crowded { scope }
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
                self.note(backend, &Rejection::TimedOut);
                Err(Rejection::TimedOut)
            }
        }
    }

    /// Asks one backend. If it connects and then is slow to answer, it is left for the next one,
    /// where there is one.
    async fn attempt(
        &self,
        lease: &Lease,
        head: &request::Parts,
        deadline: Instant,
        selection: &mut Selection<'_>,
    ) -> Attempt {
        let backend = lease.backend();
        self.record.tries(backend);
        let _pass = match timeout_at(deadline, backend.admit()).await {
            Ok(Ok(pass)) => pass,
            Ok(Err(crowded)) => return Attempt::Done(Err(crowded.into())),
            Err(_) => {
                let scope = Scope::Backend;
                return Attempt::Done(Err(Crowded { scope }.into()));
            }
        };
        let stream = match timeout_at(deadline, self.pool.connect(backend)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                debug!(backend = backend.name(), %error, "a backend cannot be connected to");
                return Attempt::Done(Err(error.into()));
            }
            // Most of the time was others': it says little of this one.
            Err(_) => return Attempt::Done(Err(Rejection::TimedOut)),
        };
        let asked = Instant::now();
        let mut answer = pin!(answer(stream, head.clone()));
        let mut answered = timeout(self.patience(deadline), &mut answer).await;
        if answered.is_err() && Instant::now() < deadline {
            if let Some(next) = selection.next() {
                self.note(backend, &Rejection::TimedOut);
                return Attempt::Overtaken(next);
            }
            answered = timeout_at(deadline, &mut answer).await;
        }
        match answered {
            Ok(Ok(answer)) => {
                self.note_answer(backend, &answer);
                Attempt::Done(Ok(answer))
            }
            Ok(Err(error)) => self.failed(backend, error.into()),
            Err(_) if asked.elapsed() >= self.timeouts.answer.min(self.timeouts.handshake / 2) => {
                self.failed(backend, Rejection::TimedOut)
            }
            Err(_) => Attempt::Done(Err(Rejection::TimedOut)),
        }
    }

    /// How long a connected backend may take before another is asked.
    fn patience(&self, deadline: Instant) -> Duration {
        self.timeouts
            .answer
            .min(deadline.saturating_duration_since(Instant::now()))
    }

    fn failed(&self, backend: &Backend, rejection: Rejection) -> Attempt {
        self.note(backend, &rejection);
        Attempt::Done(Err(rejection))
    }

    fn note_answer(&self, backend: &Backend, answer: &Answer) {
        let status = answer.response.status();
        if status.is_server_error() {
            self.pool.note(backend, Seen::BadHandshake);
        } else if status != StatusCode::SWITCHING_PROTOCOLS {
            self.pool.note(backend, Seen::Answered);
        }
    }

    fn note(&self, backend: &Backend, rejection: &Rejection) {
        debug!(backend = backend.name(), error = %rejection, "a backend failed a handshake");
        self.pool.note(backend, Seen::BadHandshake);
    }
}

/// A backend's answer to a handshake. Nothing that the client sends behind its own part goes to the
/// backend before.
pub(super) async fn answer(stream: Stream, head: request::Parts) -> Result<Answer, hyper::Error> {
    answer_over(HttpConnection::over(stream).await?, head).await
}

/// The same to a request to switch to another protocol.
pub(super) async fn answer_to(
    stream: Stream,
    request: Request<RequestBody>,
) -> Result<Answer, hyper::Error> {
    send_over(HttpConnection::over(stream).await?, request).await
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
