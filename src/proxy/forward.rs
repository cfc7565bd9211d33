//! Plain HTTP, streaming both ways.

use std::{sync::Arc, time::Duration};

use http::{
    HeaderValue, Request, Response, StatusCode, Version,
    header::{SET_COOKIE, TRANSFER_ENCODING},
    request,
};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::{Body, Incoming},
    client::conn::TrySendError,
    ext::on_informational,
};
use tokio::{sync::oneshot, time::timeout};
use tracing::debug;

use super::{
    Exchange,
    body::{BodyBounds, Carrier, Download, Home, Progress, ReplyBody, Upload},
    caching, headers,
    login::{self, Login},
    reply::Rejection,
    route::Route,
};
use crate::pool::{
    Selected, Selection,
    backend::{Lease, Use},
    idle::{HttpConnection, RequestBody},
    outlier::Seen,
};

/// A request that is on its way, as long as it may still be sent again.
struct Outgoing {
    request: Option<Request<RequestBody>>,
    /// A copy for a connection that dies without saying whether the request reached the backend.
    /// Only a request that may be repeated has one (RFC 9110, section 9.2.2).
    spare: Option<request::Parts>,
    progress: Arc<Progress>,
    /// Whether the body waits for the backend to ask for it.
    is_gated: bool,
}

/// What became of one attempt.
enum Attempt {
    Answered(Response<Incoming>),
    /// The request is whole again: it did not reach the backend, or may be repeated.
    Unsent(hyper::Error),
    /// The connection has broken, or what came on it is no answer.
    Broken(hyper::Error),
    Failed(Rejection),
}

impl Exchange<'_> {
    /// Passes a plain request to a backend, and its response back.
    pub(super) async fn forward(
        &self,
        request: request::Parts,
        body: Incoming,
    ) -> Result<Response<ReplyBody>, Rejection> {
        let bounds = self.body_bounds(&body)?;
        self.admit_request().await?;
        let logs_in = login::is_in_request(&request.headers);
        let mut selection = self.route.pool.select(&self.asker(&request), Use::Request);
        let mut outgoing = Outgoing::new(self.head_for_backend(request), body, bounds);
        let login = self.login().await?;
        let is_bound = logs_in || login.is_some();
        let sent = match login {
            Some(login) => self.send_over(login, &mut outgoing).await?,
            None => None,
        };
        let (lease, response, connection) = match sent {
            Some(sent) => sent,
            None => self.send(&mut selection, &mut outgoing).await?,
        };
        let selected = selection.settle(lease);
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Rejection::Unasked);
        }
        let backend = selected.lease.backend();
        let own = self.home_of_login(&response, backend, is_bound);
        let home = own.unwrap_or_else(|| {
            let idle = Arc::clone(backend.idle());
            Home::Anybody(idle, self.arrival.connection.worker)
        });
        let has_refused_body = outgoing.is_withheld();
        let carrier = Carrier {
            connection,
            home: Some(home).filter(|_| !has_refused_body),
        };
        let mut reply = self.reply(response, selected, Some(carrier))?;
        if has_refused_body {
            headers::announce_close(reply.headers_mut());
        }
        Ok(reply)
    }

    /// Sends the request over the connection that the client has logged in over. `None` if that has
    /// ended and the request can go elsewhere.
    async fn send_over(
        &self,
        login: Login,
        outgoing: &mut Outgoing,
    ) -> Result<Option<(Lease, Response<Incoming>, HttpConnection)>, Rejection> {
        let mut connection = login.connection;
        let pool = &self.route.pool;
        let member = pool.member_with(login.backend.id());
        let Some(lease) = member.and_then(|member| Lease::of(member, Use::Request)) else {
            return Ok(None);
        };
        self.arrival.record.tries(lease.backend());
        let limit = self.route.timeouts.response;
        match outgoing.attempt(&mut connection, true, limit).await {
            Attempt::Answered(response) => {
                pool.note(lease.backend(), Seen::Reached, self.arrival.client.ip());
                Ok(Some((lease, response, connection)))
            }
            Attempt::Failed(rejection) => Err(rejection),
            Attempt::Broken(error) => Err(Rejection::of_answer(error, pool.answer_limits())),
            Attempt::Unsent(_) if login.is_challenged => Err(Rejection::LoginLost),
            Attempt::Unsent(_) => Ok(None),
        }
    }

    /// What bounds the request's `body`.
    ///
    /// # Errors
    /// If it says that it is larger than it may be.
    fn body_bounds(&self, body: &Incoming) -> Result<BodyBounds, Rejection> {
        let bounds = BodyBounds {
            most: self.route.request_body,
            pace: self.terms.timeouts.request_body,
        };
        let least = body.size_hint().lower();
        if bounds.most.is_some_and(|most| least > most) {
            return Err(Rejection::BodyTooLarge);
        }
        Ok(bounds)
    }

    /// Sends the request to one backend after the other until one has taken it.
    async fn send(
        &self,
        selection: &mut Selection<'_>,
        outgoing: &mut Outgoing,
    ) -> Result<(Lease, Response<Incoming>, HttpConnection), Rejection> {
        let mut last = None;
        for lease in selection.by_ref() {
            self.arrival.record.tries(lease.backend());
            let mut idle = lease.backend().idle().take(self.arrival.connection.worker);
            loop {
                let is_reused = idle.is_some();
                let mut connection = match idle.take() {
                    Some(connection) => connection,
                    None => match self.connect(&lease).await {
                        Ok(connection) => connection,
                        Err(error) => {
                            debug!(%error, "trying the next backend");

                            last = Some(error);
                            break;
                        }
                    },
                };
                match outgoing
                    .attempt(&mut connection, is_reused, self.route.timeouts.response)
                    .await
                {
                    Attempt::Answered(response) => {
                        self.route.pool.note(
                            lease.backend(),
                            Seen::Reached,
                            self.arrival.client.ip(),
                        );
                        return Ok((lease, response, connection));
                    }
                    Attempt::Failed(rejection) => return Err(rejection),
                    Attempt::Broken(error) => {
                        let limits = self.route.pool.answer_limits();
                        return Err(Rejection::of_answer(error, limits));
                    }
                    // A connection that had been idle may die at any time, and says nothing of its
                    // backend: the next attempt is on a new one.
                    Attempt::Unsent(_) if is_reused => {}
                    Attempt::Unsent(error) => {
                        last = Some(Rejection::Broken(error));
                        break;
                    }
                }
            }
        }
        Err(last.unwrap_or_else(|| Rejection::of_all(selection)))
    }

    async fn connect(&self, lease: &Lease) -> Result<HttpConnection, Rejection> {
        let Route { pool, timeouts, .. } = &**self.route;
        let client = self.arrival.client.ip();
        let stream = pool
            .connect(lease.backend(), client, timeouts.connect)
            .await?;
        Ok(HttpConnection::over(stream, pool.answer_limits()).await?)
    }

    /// A backend's response as the client gets it.
    pub(super) fn reply(
        &self,
        response: Response<Incoming>,
        selected: Selected,
        carrier: Option<Carrier>,
    ) -> Result<Response<ReplyBody>, Rejection> {
        self.arrival.record.bound(selected.affinity);
        let (mut head, body) = response.into_parts();
        if headers::has_foreign_coding(&head.headers) {
            return Err(Rejection::AnswerCoding);
        }
        if !headers::agree_on_length(&head.headers) {
            return Err(Rejection::AnswerLength);
        }
        let home = carrier.as_ref().and_then(|carrier| carrier.home.as_ref());
        let is_last = home.is_some_and(|home| home.is_left_after(&head.headers));
        headers::remove_hop_by_hop(&mut head.headers);
        if is_last {
            headers::announce_close(&mut head.headers);
        }
        // Ours, whatever the backend's is (RFC 9110, section 6.2).
        head.version = Version::HTTP_11;
        // A cookie in a cache would bind everybody who is served from it to one backend.
        if let Some(cookie) = selected.cookie
            && !caching::is_for_all(&head.headers)
        {
            head.headers.append(SET_COOKIE, cookie);
        }
        head.extensions.clear();
        let record = Arc::clone(self.arrival.record);
        let download = Download::new(body, head.status, record, selected.lease, carrier);
        let body = ReplyBody::Forwarded(Box::new(download));
        Ok(Response::from_parts(head, body))
    }
}

impl Outgoing {
    fn new(mut head: request::Parts, body: Incoming, bounds: BodyBounds) -> Self {
        let progress = Arc::<Progress>::default();
        if body.is_end_stream() {
            return Self {
                spare: head.method.is_idempotent().then(|| head.clone()),
                request: Some(bodiless(head)),
                progress,
                is_gated: false,
            };
        }
        if body.size_hint().exact().is_none() {
            // Or else hyper would leave out the body of a GET.
            let chunked = HeaderValue::from_static("chunked");
            head.headers.insert(TRANSFER_ENCODING, chunked);
        }
        let mut upload = Upload::new(body, Arc::clone(&progress), bounds);
        let mut request = Request::from_parts(head, ());
        let is_gated = headers::expects_continue(request.headers());
        if is_gated {
            upload.wait_for(continued(&mut request));
        }
        let request = request.map(|()| RequestBody::new(upload));
        Self {
            request: Some(request),
            spare: None,
            progress,
            is_gated,
        }
    }

    /// Sends the request over a connection. A backend that has stood still for `limit` has failed:
    /// neither has it taken any more of the body, nor answered.
    async fn attempt(
        &mut self,
        connection: &mut HttpConnection,
        is_reused: bool,
        limit: Duration,
    ) -> Attempt {
        let Some(request) = self.request.take() else {
            return Attempt::Failed(Rejection::TimedOut);
        };
        let mut response = Box::pin(connection.send(request));
        let mut passed = 0;
        loop {
            match timeout(limit, &mut response).await {
                Ok(Ok(response)) => return Attempt::Answered(response),
                Ok(Err(error)) => return self.failed(error, is_reused),
                Err(_) => {
                    let before = std::mem::replace(&mut passed, self.progress.frames());
                    if before == passed {
                        return Attempt::Failed(self.standstill());
                    }
                }
            }
        }
    }

    /// Who is to blame that nothing moves.
    fn standstill(&self) -> Rejection {
        if self.progress.waits_for_client() {
            Rejection::BodyTimedOut
        } else {
            Rejection::TimedOut
        }
    }

    /// Whether the backend has answered without having asked for the body.
    fn is_withheld(&self) -> bool {
        self.is_gated && self.progress.frames() == 0
    }

    fn failed(
        &mut self,
        mut error: TrySendError<Request<RequestBody>>,
        is_reused: bool,
    ) -> Attempt {
        let unsent = error.take_message();
        let spare = || self.spare.take().filter(|_| is_reused).map(bodiless);
        self.request = unsent.or_else(spare);
        let error = error.into_error();
        match self.request {
            Some(_) => Attempt::Unsent(error),
            None if self.progress.is_too_large() => Attempt::Failed(Rejection::BodyTooLarge),
            None if self.progress.is_too_slow() => Attempt::Failed(Rejection::BodyTimedOut),
            None if self.progress.is_broken() => {
                Attempt::Failed(Rejection::BadRequest("a body that breaks off"))
            }
            None => Attempt::Broken(error),
        }
    }
}

fn bodiless(head: request::Parts) -> Request<RequestBody> {
    let body = Empty::new().map_err(|never| match never {});
    Request::from_parts(head, RequestBody::new(body))
}

/// Is told when the backend asks for the request's body.
fn continued(request: &mut Request<()>) -> oneshot::Receiver<()> {
    let (tell, told) = oneshot::channel();
    let tell = std::sync::Mutex::new(Some(tell));
    on_informational(request, move |interim| {
        if interim.status() != StatusCode::CONTINUE {
            return;
        }
        let tell = tell.lock().ok().and_then(|mut tell| tell.take());
        // Nobody listens any more if the body was let through already.
        let _ = tell.map(|tell| tell.send(()));
    });
    told
}
