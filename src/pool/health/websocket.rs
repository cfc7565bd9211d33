//! Checks that open a WebSocket.

use http::{Response, StatusCode, header::SEC_WEBSOCKET_PROTOCOL};
use hyper::{
    body::Incoming,
    upgrade::{self, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    time::{Duration, timeout},
};

use super::{
    deadline::Deadline,
    failure::Failure,
    replies::Replies,
    request::{ask, request},
};
use crate::{
    config::{BackendAddress, Statuses, WebsocketCheck},
    stream::Stream,
    websocket::{
        CloseCode, Role,
        frame::{self, ControlFrame},
        handshake::Offer,
        scanner::Token,
    },
};

/// How long a backend that works has to close its side.
const FAREWELL: Duration = Duration::from_secs(1);

type Websocket = TokioIo<Upgraded>;

/// Opens a WebSocket to the backend at the other end of `stream`, speaks with it, and closes.
pub(super) async fn check(
    check: &WebsocketCheck,
    address: &BackendAddress,
    stream: Stream,
    deadline: Deadline,
) -> Result<(), Failure> {
    let mut request = request(&check.question, address);
    let offer = Offer::write(request.headers_mut(), check.subprotocol.as_ref());
    let judge = |response| judge(check, &offer, response, deadline);
    let upgraded = ask(stream, request, deadline, judge).await?;
    let mut websocket = TokioIo::new(upgraded);
    converse(check, &mut websocket, deadline).await?;
    take_leave(websocket).await;
    Ok(())
}

async fn judge(
    check: &WebsocketCheck,
    offer: &Offer,
    mut response: Response<Incoming>,
    deadline: Deadline,
) -> Result<Upgraded, Failure> {
    let found = response.status();
    if found != StatusCode::SWITCHING_PROTOCOLS {
        let expected = Statuses::only(StatusCode::SWITCHING_PROTOCOLS.as_u16());
        return Err(Failure::Status { found, expected });
    }
    let upgraded = upgrade::on(&mut response);
    let (answer, _) = response.into_parts();
    offer.check(&answer)?;
    if let Some(subprotocol) = &check.subprotocol
        && !answer.headers.contains_key(SEC_WEBSOCKET_PROTOCOL)
    {
        let subprotocol = String::from_utf8_lossy(subprotocol.as_bytes());
        return Err(Failure::Subprotocol(subprotocol.into_owned()));
    }
    deadline.limit("an answer", upgraded).await
}

/// Says what is to be said, and listens until all that is awaited has come.
async fn converse(
    check: &WebsocketCheck,
    websocket: &mut Websocket,
    deadline: Deadline,
) -> Result<(), Failure> {
    let token: Option<Token> = check.ping.then(rand::random);
    let exchange = check.exchange.as_ref();
    let mut replies = Replies::awaiting(token, exchange.map(|e| &*e.answer));
    let mut said = Vec::new();
    if let Some(token) = token {
        said.extend(frame::ping(&token, Role::Client));
    }
    if let Some(exchange) = exchange {
        said.extend(frame::text(&exchange.message, Role::Client));
    }
    let mut heard = Vec::with_capacity(4096);
    while let Some(awaited) = replies.awaited() {
        let turn = async {
            websocket.write_all(&said).await?;
            websocket.flush().await?;
            websocket.read_buf(&mut heard).await
        };
        if deadline.limit(awaited, turn).await? == 0 {
            return Err(Failure::HungUp(awaited));
        }
        said = replies.hear(&heard)?.concat();
        heard.clear();
    }
    Ok(())
}

/// Closes, and gives the backend a moment to do so too: it is the one that ends the connection (RFC
/// 6455, section 7.1.1).
async fn take_leave(mut websocket: Websocket) {
    let close: ControlFrame = frame::close(CloseCode::NORMAL, "", Role::Client);
    let leaving = async {
        websocket.write_all(&close).await?;
        websocket.flush().await?;
        io::copy(&mut websocket, &mut io::sink()).await
    };
    // The backend works, however it takes the end.
    let _ = timeout(FAREWELL, leaving).await;
}
