//! Plain HTTP, streaming both ways.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{Request, Response, StatusCode, header::EXPECT, header::SET_COOKIE, request};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::{Body, Incoming},
    client::conn::{TrySendError, http1, http1::SendRequest},
    ext::on_informational,
};
use hyper_util::rt::TokioIo;
use tokio::{sync::oneshot, time::timeout};
use tracing::debug;

use super::{
    Exchange,
    body::{Download, ReplyBody, Reusable, Upload},
    headers,
    reply::Rejection,
};
use crate::pool::{
    Selected, Selection,
    backend::{Lease, Use},
    idle::RequestBody,
};

/// A request that is on its way, as long as it may still be sent again.
struct Outgoing {
    request: Option<Request<RequestBody>>,
    /// A copy for a connection that dies without saying whether the request reached the backend.
    /// Only a request that may be repeated has one (RFC 9110, section 9.2.2).
    spare: Option<request::Parts>,
    /// Frames of the body passed so far.
    progress: Arc<AtomicUsize>,
}

/// What became of one attempt.
enum Attempt {
    Answered(Response<Incoming>),
    /// The request is whole again: it did not reach the backend, or may be repeated.
    Unsent(hyper::Error),
    Failed(Rejection),
}

impl Exchange<'_> {
    /// Passes a plain request to a backend, and its response back.
    pub(super) async fn forward(
        &self,
        request: request::Parts,
        body: Incoming,
    ) -> Result<Response<ReplyBody>, Rejection> {
        let mut selection = self.route.pool.select(&self.asker(&request), Use::Request);
        let mut outgoing = Outgoing::new(self.head_for_backend(request), body);
        let (lease, response, sender) = self.send(&mut selection, &mut outgoing).await?;
        let selected = selection.settle(lease);
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Rejection::Unasked);
        }
        let connection = Reusable {
            sender,
            home: Arc::clone(selected.lease.backend().idle()),
            worker: self.arrival.connection.worker,
        };
        self.reply(response, selected, Some(connection))
    }

    /// Sends the request to one backend after the other until one has taken it.
    async fn send(
        &self,
        selection: &mut Selection<'_>,
        outgoing: &mut Outgoing,
    ) -> Result<(Lease, Response<Incoming>, SendRequest<RequestBody>), Rejection> {
        let mut last = Rejection::NoRoom;
        for lease in selection {
            let mut idle = lease.backend().idle().take(self.arrival.connection.worker);
            loop {
                let is_reused = idle.is_some();
                let mut sender = match idle.take() {
                    Some(sender) => sender,
                    None => match self.connect(&lease).await {
                        Ok(sender) => sender,
                        Err(error) => {
                            debug!(%error, "trying the next backend");
                            last = error;
                            break;
                        }
                    },
                };
                match outgoing
                    .attempt(&mut sender, is_reused, self.proxy.timeouts.response)
                    .await
                {
                    Attempt::Answered(response) => return Ok((lease, response, sender)),
                    Attempt::Failed(rejection) => return Err(rejection),
                    // A connection that had been idle may die at any time, and says nothing of its
                    // backend: the next attempt is on a new one.
                    Attempt::Unsent(_) if is_reused => {}
                    Attempt::Unsent(error) => {
                        last = Rejection::Broken(error);
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    async fn connect(&self, lease: &Lease) -> Result<SendRequest<RequestBody>, Rejection> {
        let stream = self.route.pool.connect(lease.backend()).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "a connection to a backend ended early");
            }
        });
        Ok(sender)
    }

    /// A backend's response as the client gets it.
    pub(super) fn reply(
        &self,
        response: Response<Incoming>,
        selected: Selected,
        connection: Option<Reusable>,
    ) -> Result<Response<ReplyBody>, Rejection> {
        self.arrival.record.selected(&selected);
        let (mut head, body) = response.into_parts();
        if headers::has_foreign_coding(&head.headers) {
            return Err(Rejection::AnswerCoding);
        }
        headers::remove_hop_by_hop(&mut head.headers);
        if let Some(cookie) = selected.cookie {
            head.headers.append(SET_COOKIE, cookie);
        }
        head.extensions.clear();
        let record = Arc::clone(self.arrival.record);
        let download = Download::new(body, head.status, record, selected.lease, connection);
        let body = ReplyBody::Forwarded(Box::new(download));
        Ok(Response::from_parts(head, body))
    }
}

impl Outgoing {
    fn new(head: request::Parts, body: Incoming) -> Self {
        let progress = Arc::new(AtomicUsize::new(0));
        if body.is_end_stream() {
            return Self {
                spare: head.method.is_idempotent().then(|| head.clone()),
                request: Some(bodiless(head)),
                progress,
            };
        }
        let mut upload = Upload::new(body, Arc::clone(&progress));
        let mut request = Request::from_parts(head, ());
        if expects_continue(&request) {
            upload.wait_for(continued(&mut request));
        }
        let request = request.map(|()| RequestBody::new(upload));
        Self {
            request: Some(request),
            spare: None,
            progress,
        }
    }

    /// Sends the request over a connection. A backend that has stood still for `limit` has failed:
    /// neither has it taken any more of the body, nor answered.
    async fn attempt(
        &mut self,
        sender: &mut SendRequest<RequestBody>,
        is_reused: bool,
        limit: Duration,
    ) -> Attempt {
        let Some(request) = self.request.take() else {
            return Attempt::Failed(Rejection::TimedOut);
        };
        let mut response = Box::pin(sender.try_send_request(request));
        let mut passed = 0;
        loop {
            match timeout(limit, &mut response).await {
                Ok(Ok(response)) => return Attempt::Answered(response),
                Ok(Err(error)) => return self.failed(error, is_reused),
                Err(_) => {
                    let before = std::mem::replace(&mut passed, self.progress.load(Relaxed));
                    if before == passed {
                        return Attempt::Failed(Rejection::TimedOut);
                    }
                }
            }
        }
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
            None => Attempt::Failed(Rejection::Broken(error)),
        }
    }
}

fn bodiless(head: request::Parts) -> Request<RequestBody> {
    let body = Empty::new().map_err(|never| match never {});
    Request::from_parts(head, RequestBody::new(body))
}

fn expects_continue<B>(request: &Request<B>) -> bool {
    let expected = request.headers().get(EXPECT);
    expected.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Is told when the backend asks for the request's body.
fn continued(request: &mut Request<()>) -> oneshot::Receiver<()> {
    let (tell, told) = oneshot::channel();
    let tell = std::sync::Mutex::new(Some(tell));
    on_informational(request, move |interim| {
        let tell = tell.lock().ok().and_then(|mut tell| tell.take());
        if let Some(tell) = tell.filter(|_| interim.status() == StatusCode::CONTINUE) {
            // Nobody listens any more if the body was let through already.
            let _ = tell.send(());
        }
    });
    told
}
