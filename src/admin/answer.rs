//! What is answered at the door.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_TYPE, REFERRER_POLICY, WWW_AUTHENTICATE,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use serde::Serialize;
use tokio::sync::mpsc;

use super::api::Refused;

/// An answer at the door.
pub(super) type Answer = Response<AnswerBody>;

/// What an answer holds.
#[derive(Debug)]
pub(super) enum AnswerBody {
    /// All of it.
    Whole(Full<Bytes>),
    /// What is to come yet.
    Stream(mpsc::Receiver<Bytes>),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(whole) => Pin::new(whole).poll_frame(cx),
            Self::Stream(coming) => coming
                .poll_recv(cx)
                .map(|next| next.map(|b| Ok(Frame::data(b)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_end_stream(),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => whole.size_hint(),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// An answer to be read by whoever reads it.
pub(super) fn text(status: StatusCode, message: &str) -> Answer {
    whole(status, "text/plain; charset=utf-8", format!("{message}\n"))
}

/// An answer to be read by a program.
pub(super) fn json(value: &impl Serialize) -> Answer {
    // What we answer has no keys that are no strings, and so can always be written.
    let text = serde_json::to_string(value).unwrap_or_default();
    whole(StatusCode::OK, JSON, text)
}

/// What is not done, and why.
#[derive(Debug)]
pub(super) struct Wrong {
    status: StatusCode,
    error: String,
}

impl Wrong {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        let error = error.into();
        Self { status, error }
    }

    /// What was asked makes no sense.
    pub(super) fn request(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    pub(super) fn answer(self) -> Answer {
        refusal(self.status, self.error)
    }
}

/// Why not.
pub(super) fn refusal(status: StatusCode, error: impl Into<String>) -> Answer {
    let refused = Refused {
        error: error.into(),
    };
    let text = serde_json::to_string(&refused).unwrap_or_default();
    let mut answer = whole(status, JSON, text);
    if status == StatusCode::UNAUTHORIZED {
        let how = HeaderValue::from_static("Bearer");
        answer.headers_mut().insert(WWW_AUTHENTICATE, how);
    }
    answer
}

/// The method is none of those `allowed`.
pub(super) fn wrong_method(allowed: &'static str) -> Answer {
    let message = format!("allowed here: {allowed}");
    let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED, message);
    let headers = answer.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// What is to come, as server-sent events.
pub(super) fn events(coming: mpsc::Receiver<Bytes>) -> Answer {
    with(
        StatusCode::OK,
        "text/event-stream",
        AnswerBody::Stream(coming),
    )
}

/// All of it, of that type.
pub(super) fn whole(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    with(status, kind, AnswerBody::Whole(Full::new(body.into())))
}

const JSON: &str = "application/json";

fn with(status: StatusCode, kind: &'static str, body: AnswerBody) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let fields: [(HeaderName, &'static str); 4] = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in fields {
        answer
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    answer
}
