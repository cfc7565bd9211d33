//! The responses that we make ourselves.

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE, SEC_WEBSOCKET_VERSION},
};
use http_body_util::Full;

use super::headers::{announce_close, switch_to_websocket};
use crate::{
    clients, path,
    pool::{
        AnswerLimits, Selection,
        admission::{Crowded, Scope},
        connect::ConnectError,
    },
    quote::Quoted,
    websocket::handshake::{BadAnswer, BadOffer},
};

/// Why a request is answered by us instead of a backend.
#[derive(Debug, thiserror::Error)]
pub(super) enum Rejection {
    /// The client's request could be read in more than one way, or in none that we serve.
    #[error("{0}")]
    BadRequest(&'static str),
    /// Nobody can tell what the path is, and it may be that of a route of its own.
    #[error("{0}")]
    BadPath(path::Unknown),
    /// The method would show a request to whoever made its sender ask.
    #[error("this method is not served here")]
    Method,
    /// The request has come through this proxy before.
    #[error("the request has come through this proxy before: a backend leads back here")]
    Loop,
    /// The request's target is longer than any that is served.
    #[error("a target that is too long")]
    UriTooLong,
    /// The request names a transfer coding that we do not speak.
    #[error("a transfer coding other than chunked")]
    TransferCoding,
    /// The client has sent no more of its request's body.
    #[error("the client sent no more of its body")]
    BodyTimedOut,
    /// The client's WebSocket handshake cannot be granted.
    #[error(transparent)]
    BadOffer(#[from] BadOffer),
    /// No route is for this host and path.
    #[error("no route for this host and path")]
    NoRoute,
    /// No backend of the pool takes clients.
    #[error("no backend is ready")]
    NoneReady,
    /// Too many handshakes have come.
    #[error(transparent)]
    Crowded(#[from] Crowded),
    /// The client has as many tunnels as it may.
    #[error("too many tunnels of this client")]
    ClientFull,
    /// The request's body is larger than it may be.
    #[error("a body that is too large")]
    BodyTooLarge,
    /// Every backend of the pool that takes clients is full.
    #[error("no backend has room")]
    NoRoom,
    /// No backend could be connected to; this is what the last one said.
    #[error(transparent)]
    Unreachable(#[from] ConnectError),
    /// The backend's connection broke before it had answered.
    #[error("the backend failed before it answered: {}", Quoted::sentence(.0))]
    Broken(#[from] hyper::Error),
    /// The head of the backend's answer is too large.
    #[error("the head of the backend's answer is larger than {0}")]
    AnswerTooLarge(AnswerLimits),
    /// The backend has not answered in time.
    #[error("the backend did not answer in time")]
    TimedOut,
    /// The backend has answered a repeated handshake with a failure of its own.
    #[error("the backend failed: {0}")]
    Unwilling(StatusCode),
    /// The backend's 101 is no answer to the client's offer.
    #[error("the backend sent a bad 101: {0}")]
    BadAnswer(#[from] BadAnswer),
    /// The backend switched protocols though nobody had asked it to.
    #[error("the backend sent a 101 that nobody had asked for")]
    Unasked,
    /// The backend's answer has a transfer coding that we do not speak.
    #[error("the backend's answer has a transfer coding other than chunked")]
    AnswerCoding,
    /// The backend's connection has ended over which the client was about to log in. There is no
    /// answer to this: the client's connection ends too, as it would without us.
    #[error("the backend's connection ended amidst a login over it")]
    LoginLost,
    /// The end of the backend's answer could be seen in more than one place.
    #[error("the backend's answer has no certain length")]
    AnswerLength,
}

/// Marks a response that is not to be sent: the client's connection ends instead.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("a request that cannot be answered on its connection")]
pub(super) struct Unanswered;

impl Rejection {
    /// Why a selection has found nobody to try.
    pub(super) fn of_all(selection: &Selection<'_>) -> Self {
        if selection.finds_none_ready() {
            Self::NoneReady
        } else {
            Self::NoRoom
        }
    }

    /// Why there is no answer over a connection that takes answers within `limits`.
    pub(super) fn of_answer(error: hyper::Error, limits: AnswerLimits) -> Self {
        if error.is_parse_too_large() {
            Self::AnswerTooLarge(limits)
        } else {
            Self::Broken(error)
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::BadOffer(BadOffer::Version) => StatusCode::UPGRADE_REQUIRED,
            Self::BadRequest(_) | Self::BadPath(_) | Self::BadOffer(_) => StatusCode::BAD_REQUEST,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::TransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::BodyTimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ClientFull
            | Self::Crowded(Crowded {
                scope: Scope::Client,
                ..
            }) => StatusCode::TOO_MANY_REQUESTS,
            Self::Crowded(_) | Self::NoneReady | Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
            Self::TimedOut | Self::Unreachable(ConnectError::TimedOut { .. }) => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::Unreachable(ConnectError::Failed { .. })
            | Self::Broken(_)
            | Self::LoginLost
            | Self::Unwilling(_)
            | Self::BadAnswer(_)
            | Self::Unasked
            | Self::AnswerTooLarge(_)
            | Self::AnswerCoding
            | Self::AnswerLength => StatusCode::BAD_GATEWAY,
        }
    }

    /// What it is called in metrics.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::BadRequest(_) | Self::BadPath(_) | Self::Method | Self::TransferCoding => {
                "bad_request"
            }
            Self::Loop => "loop",
            Self::UriTooLong => "uri_too_long",
            Self::BodyTimedOut => "body_timed_out",
            Self::BadOffer(_) => "bad_offer",
            Self::NoRoute => "no_route",
            Self::NoneReady => "none_ready",
            Self::Crowded(_) => "crowded",
            Self::NoRoom => "no_room",
            Self::ClientFull => "client_full",
            Self::BodyTooLarge => "body_too_large",
            Self::Unreachable(_) => "unreachable",
            Self::Broken(_) | Self::LoginLost => "broken",
            Self::TimedOut => "timed_out",
            Self::Unwilling(_) => "backend_answer",
            Self::BadAnswer(_)
            | Self::Unasked
            | Self::AnswerTooLarge(_)
            | Self::AnswerCoding
            | Self::AnswerLength => "bad_answer",
        }
    }

    /// Whether the fault lies with us or behind us rather than with the client or a crowd of them.
    pub(super) fn is_ours(&self) -> bool {
        self.status().is_server_error() && !matches!(self, Self::TransferCoding | Self::Crowded(_))
    }

    /// Whether the same request may well succeed in a while.
    pub(super) fn is_for_now(&self) -> bool {
        matches!(
            self,
            Self::Crowded(_) | Self::ClientFull | Self::NoneReady | Self::NoRoom
        )
    }

    /// The response. What we know of backends is for the log, not for the client.
    pub(super) fn response(&self) -> Response<Full<Bytes>> {
        let status = self.status();
        let body = match self {
            Self::BadRequest(_)
            | Self::BadPath(_)
            | Self::Method
            | Self::TransferCoding
            | Self::BadOffer(_)
            | Self::NoRoute => {
                format!("{status}: {self}\n")
            }
            _ => format!("{status}\n"),
        };
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        if matches!(self, Self::LoginLost) {
            response.extensions_mut().insert(Unanswered);
        }
        let headers = response.headers_mut();
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(CONTENT_TYPE, text);
        match self {
            Self::BadOffer(BadOffer::Version) => {
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
                switch_to_websocket(headers);
            }
            Self::Method => {
                let methods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
                headers.insert(ALLOW, HeaderValue::from_static(methods));
            }
            // What follows on such a connection may not be what it seems.
            Self::BadRequest(_)
            | Self::BadPath(_)
            | Self::TransferCoding
            | Self::BodyTimedOut
            | Self::BodyTooLarge
            | Self::BadOffer(_) => {
                announce_close(headers);
            }
            _ => {}
        }
        response
    }
}

impl From<clients::Full> for Rejection {
    fn from(_: clients::Full) -> Self {
        Self::ClientFull
    }
}
