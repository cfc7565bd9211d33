//! What a check asks over HTTP, and the connection that it does so on.

use std::future::pending;

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response,
    header::{HOST, USER_AGENT},
};
use http_body_util::Empty;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;

use super::{deadline::Deadline, failure::Failure};
use crate::{
    config::{BackendAddress, Question},
    stream::Stream,
};

/// The most of an answer's head that is read.
const MAX_HEAD: usize = 64 * 1024;

/// The most header fields of an answer.
const MAX_HEADERS: usize = 1000;

/// The request of a check to the backend at `address`.
pub(super) fn request(question: &Question, address: &BackendAddress) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = question.path.clone().into();
    let headers = request.headers_mut();
    let own = || HeaderValue::from_str(&authority(address)).ok();
    if let Some(host) = question.host.clone().or_else(own) {
        headers.insert(HOST, host);
    }
    headers.insert(USER_AGENT, HeaderValue::from_static("longwire"));
    for name in question.headers.keys() {
        headers.remove(name);
    }
    headers.extend(question.headers.clone());
    request
}

/// The backend as a request names it: a port that its scheme implies is left out (RFC 9110,
/// section 4.2.3).
fn authority(address: &BackendAddress) -> String {
    let (host, port, implied) = match address {
        BackendAddress::Tcp { host, port } => (host, *port, 80),
        BackendAddress::Tls { host, port } => (host, *port, 443),
        BackendAddress::Unix(_) => return "localhost".to_owned(),
    };
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.clone()
    };
    if port == implied {
        host
    } else {
        format!("{host}:{port}")
    }
}

/// What `judge` makes of the answer to `request`. The connection lives no longer than that takes,
/// unless it has become something else.
pub(super) async fn ask<T, F>(
    stream: Stream,
    request: Request<Empty<Bytes>>,
    deadline: Deadline,
    judge: impl FnOnce(Response<Incoming>) -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .handshake(TokioIo::new(stream))
        .await?;
    let asking = async {
        let response = sender.send_request(request);
        judge(deadline.limit("an answer", response).await?).await
    };
    let driving = async {
        // Whoever asks is told its errors too.
        let _ = connection.with_upgrades().await;
        pending().await
    };
    tokio::select! {
        judged = asking => judged,
        never = driving => never,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, uri::PathAndQuery};

    use super::*;

    fn tcp(host: &str, port: u16) -> BackendAddress {
        let host = host.to_owned();
        BackendAddress::Tcp { host, port }
    }

    fn tls(host: &str, port: u16) -> BackendAddress {
        let host = host.to_owned();
        BackendAddress::Tls { host, port }
    }

    #[test]
    fn a_backend_is_named_as_a_browser_would_name_it() {
        for (address, named) in [
            (tcp("10.0.0.1", 9001), "10.0.0.1:9001"),
            (tcp("chat.internal", 80), "chat.internal"),
            (tcp("::1", 443), "[::1]:443"),
            (tls("chat.internal", 443), "chat.internal"),
            (tls("::1", 80), "[::1]:80"),
            (BackendAddress::Unix("/run/chat.sock".into()), "localhost"),
        ] {
            assert_eq!(authority(&address), named);
        }
    }

    #[test]
    fn headers_of_the_users_own_take_the_place_of_ours() {
        let mut headers = HeaderMap::new();
        headers.append("user-agent", HeaderValue::from_static("probe"));
        headers.append("x-token", HeaderValue::from_static("one"));
        headers.append("x-token", HeaderValue::from_static("two"));
        let question = Question {
            path: PathAndQuery::from_static("/health?full=1"),
            host: Some(HeaderValue::from_static("chat.example.com")),
            headers,
        };
        let request = request(&question, &tcp("10.0.0.1", 9001));
        assert_eq!(request.uri(), "/health?full=1");
        assert_eq!(request.headers()["host"], "chat.example.com");
        let all = |name| request.headers().get_all(name).iter().collect::<Vec<_>>();
        assert_eq!(all("user-agent"), ["probe"]);
        assert_eq!(all("x-token"), ["one", "two"]);
    }
}
