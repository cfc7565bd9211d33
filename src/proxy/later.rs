//! How a client hears that it is to come back later, and when.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Response, StatusCode, header::RETRY_AFTER};
use http_body_util::Full;
use hyper::upgrade::OnUpgrade;
use rand::RngExt;
use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tracing::debug;

use super::{
    Exchange, body::ReplyBody, headers, moving::Residence, reply::Rejection, upgrade::client_end,
};
use crate::{
    config::Refusal,
    stream::Stream,
    tunnel::End,
    websocket::{
        CloseCode, Opcode, Role, frame,
        handshake::Offer,
        scanner::{Scanner, Until, Verdict},
    },
};

/// When refused clients are to come back: each at a time of its own, or else they would all be
/// back at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct RetryAfter {
    base_seconds: u64,
}

/// Goes to a WebSocket that is opened only to be closed, and waits for the client's answer.
struct Farewell {
    seconds: u64,
    patience: Duration,
    _residence: Arc<dyn Residence>,
}

impl RetryAfter {
    /// Between `base` and twice that.
    pub(super) fn from(base: Duration) -> Self {
        Self {
            base_seconds: base.as_secs() + u64::from(base.subsec_nanos() > 0),
        }
    }

    fn draw_seconds(self) -> u64 {
        rand::rng().random_range(self.base_seconds..=2 * self.base_seconds)
    }

    /// Writes when to come back.
    pub(super) fn write(self, headers: &mut HeaderMap) {
        headers.insert(RETRY_AFTER, HeaderValue::from(self.draw_seconds()));
    }
}

impl Exchange<'_> {
    /// Refuses a handshake as its route wants it: a page does not get to see the status of one
    /// that failed, but it does see how a WebSocket was closed.
    pub(super) fn refuse(
        &self,
        rejection: Rejection,
        offer: &Offer,
        client: Option<OnUpgrade>,
    ) -> Result<Response<ReplyBody>, Rejection> {
        let by_close = self.route.refusal == Refusal::Close && rejection.is_for_now();
        let Some(client) = client.filter(|_| by_close) else {
            return Err(rejection);
        };
        let farewell = Farewell {
            seconds: self.terms.retry_after.draw_seconds(),
            patience: self.route.timeouts.close,
            _residence: Arc::clone(&self.arrival.connection.residence),
        };
        tokio::spawn(farewell.say_to(client));
        let record = self.arrival.record;
        let status = rejection.status();
        record.refused(rejection.reason(), status, &self.terms.nowhere);
        record.answered(status, 0, true);
        let mut response = Response::new(ReplyBody::Own(Full::default()));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        headers::switch_to_websocket(response.headers_mut());
        offer.take(response.headers_mut());
        Ok(response)
    }
}

impl Farewell {
    async fn say_to(self, client: OnUpgrade) {
        let said = async {
            let client = client.await.map_err(io::Error::other)?;
            self.close(client_end(client)).await
        };
        match timeout(self.patience, said).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "a refused client left before its Close"),
            Err(_) => debug!("a refused client did not answer its Close"),
        }
    }

    /// Sends a Close and waits for the client's: a socket that is shut while something of the
    /// client's is unread would be reset, and the Close lost.
    async fn close(&self, client: End<Stream>) -> io::Result<()> {
        let End { mut socket, glued } = client;
        let reason = format!("try again later: in {} s", self.seconds);
        let close = frame::close(CloseCode::TRY_AGAIN_LATER, &reason, Role::Server);
        socket.write_all(&close).await?;
        socket.flush().await?;

        let mut scanner = Scanner::default();
        let mut has_closed = has_close(&mut scanner, &glued);
        drop(glued);
        let mut chunk = [0; 512];
        while !has_closed {
            let count = socket.read(&mut chunk).await?;
            has_closed = count == 0 || has_close(&mut scanner, &chunk[..count]);
        }
        socket.shutdown().await
    }
}

/// Whether a Close begins in the next `chunk` of a stream of frames.
fn has_close(scanner: &mut Scanner, chunk: &[u8]) -> bool {
    let mut bytes = scanner.release_held().to_vec();
    bytes.extend(chunk);
    let mut has_close = false;
    scanner.scan(&mut bytes, Until::ChunkEnd, |header, _| {
        has_close |= header.opcode == Opcode::Close;
        Verdict::Pass
    });
    has_close
}
