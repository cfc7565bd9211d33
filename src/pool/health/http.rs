//! Checks that ask for an answer over HTTP.

use http::{HeaderValue, Response, header::CONNECTION};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::{
    deadline::Deadline,
    failure::Failure,
    request::{ask, request},
};
use crate::{
    config::{BackendAddress, HttpCheck},
    stream::Stream,
};

/// The most of a body that is looked at.
const MAX_BODY: usize = 64 * 1024;

/// Asks the backend at the other end of `stream`, and hangs up.
pub(super) async fn check(
    check: &HttpCheck,
    address: &BackendAddress,
    stream: Stream,
    deadline: Deadline,
) -> Result<(), Failure> {
    let mut request = request(&check.question, address);
    let close = HeaderValue::from_static("close");
    request.headers_mut().insert(CONNECTION, close);
    let judge = |response| judge(check, response, deadline);
    ask(stream, request, deadline, judge).await
}

async fn judge(
    check: &HttpCheck,
    response: Response<Incoming>,
    deadline: Deadline,
) -> Result<(), Failure> {
    let found = response.status();
    if !check.status.contains(found.as_u16()) {
        let expected = check.status;
        return Err(Failure::Status { found, expected });
    }
    match &check.body {
        Some(text) => contains(response.into_body(), text.as_bytes(), deadline).await,
        None => Ok(()),
    }
}

/// Reads a body until `text` has come.
async fn contains(mut body: Incoming, text: &[u8], deadline: Deadline) -> Result<(), Failure> {
    let mut read = Vec::new();
    while read.len() < MAX_BODY {
        let frame = body.frame();
        let frame = async { frame.await.transpose() };
        let Some(frame) = deadline.limit("the rest of its answer", frame).await? else {
            break;
        };
        let Some(data) = frame.data_ref() else {
            continue;
        };
        // What was searched need not be searched again, but for what may be a beginning.
        let fresh = (read.len() + 1).saturating_sub(text.len());
        let room = MAX_BODY - read.len();
        read.extend_from_slice(&data[..data.len().min(room)]);
        if read[fresh..].windows(text.len()).any(|part| part == text) {
            return Ok(());
        }
    }
    Err(Failure::Body { read: read.len() })
}
