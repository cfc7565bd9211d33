//! Speaks to the running proxy: one request at a time, each on a connection of its own.

mod path;
mod place;
mod reach;

use std::{future::Future, time::Duration};

use anyhow::{Context, anyhow};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use longwire::{admin::api::Refused, quote::visible_lines, stream::Stream};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{spawn, time::timeout};

use self::place::Place;
pub(crate) use self::{path::Path, reach::Reach};

/// How long a proxy that lives may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// For what takes as long as it takes, which the proxy knows best.
const ENDLESS: Duration = Duration::MAX;

/// The running proxy, as far as we know the way to it.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    place: Place,
    token: Option<HeaderValue>,
}

/// What the proxy has said.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    /// What we understand of it.
    pub(crate) value: T,
    /// All of it: a newer proxy may say more.
    pub(crate) json: Value,
}

/// The proxy has understood, and does not do it.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
pub(crate) struct Refusal {
    /// What kind of a refusal it is.
    pub(crate) status: StatusCode,
    words: String,
}

impl Client {
    /// Looks at something.
    ///
    /// # Errors
    /// If the proxy cannot be reached or refuses, as for all requests.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &Path) -> anyhow::Result<Answer<T>> {
        let request = self.request(Method::GET, path, Bytes::new())?;
        self.understood(path, self.send(request, PATIENCE).await?)
    }

    /// Has something done that is done at once.
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &Path) -> anyhow::Result<Answer<T>> {
        let request = self.request(Method::POST, path, Bytes::new())?;
        self.understood(path, self.send(request, PATIENCE).await?)
    }

    /// Has something done as `wish` says.
    pub(crate) async fn post_with<T: DeserializeOwned>(
        &self,
        path: &Path,
        wish: &impl Serialize,
    ) -> anyhow::Result<Answer<T>> {
        let request = self.request(Method::POST, path, serde_json::to_vec(wish)?.into())?;
        self.understood(path, self.send(request, PATIENCE).await?)
    }

    /// Has something become as `wish` says.
    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        path: &Path,
        wish: &impl Serialize,
    ) -> anyhow::Result<Answer<T>> {
        let request = self.request(Method::PUT, path, serde_json::to_vec(wish)?.into())?;
        self.understood(path, self.send(request, PATIENCE).await?)
    }

    /// Has something done, however long that takes.
    pub(crate) async fn await_post<T: DeserializeOwned>(
        &self,
        path: &Path,
    ) -> anyhow::Result<Answer<T>> {
        let request = self.request(Method::POST, path, Bytes::new())?;
        self.understood(path, self.send(request, ENDLESS).await?)
    }

    /// Whether it is ready, in its own word.
    pub(crate) async fn health(&self) -> anyhow::Result<String> {
        let request = self.request(Method::GET, &Path::of("/readyz"), Bytes::new())?;
        let answer = granted(self.send(request, PATIENCE).await?)?;
        Ok(String::from_utf8_lossy(&answer).trim_end().to_owned())
    }

    fn request(&self, method: Method, path: &Path, body: Bytes) -> anyhow::Result<Request<Bytes>> {
        let mut request = Request::builder()
            .method(method)
            .uri(path.as_str())
            .header(HOST, self.place.host());
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        Ok(request.body(body)?)
    }

    async fn send(
        &self,
        request: Request<Bytes>,
        patience: Duration,
    ) -> anyhow::Result<Response<Bytes>> {
        let no_answer = || format!("no answer at {}", self.place);
        let stream = timeout(PATIENCE, self.place.connect()).await;
        let stream = stream.with_context(no_answer)??;
        let answer = within(patience, ask(stream, request)).await;
        answer.with_context(no_answer)
    }

    fn understood<T: DeserializeOwned>(
        &self,
        path: &Path,
        answer: Response<Bytes>,
    ) -> anyhow::Result<Answer<T>> {
        let body = granted(answer).map_err(|refusal| self.with_advice(refusal))?;
        let strange = || format!("{} says of {path} what makes no sense here", self.place);
        let json: Value = serde_json::from_slice(&body).with_context(strange)?;
        let value = T::deserialize(&json).with_context(strange)?;
        Ok(Answer { value, json })
    }

    fn with_advice(&self, refusal: Refusal) -> anyhow::Error {
        let is_stranger = refusal.status == StatusCode::UNAUTHORIZED && self.token.is_none();
        if is_stranger {
            anyhow!("{refusal}\nShow the token by --token-file FILE or $LONGWIRE_TOKEN.")
        } else {
            refusal.into()
        }
    }
}

async fn ask(stream: Stream, request: Request<Bytes>) -> anyhow::Result<Response<Bytes>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    spawn(connection);
    let answer = sender.send_request(request.map(Full::new)).await?;
    let (head, body) = answer.into_parts();
    Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
}

/// The body of an answer that is no refusal.
fn granted(answer: Response<Bytes>) -> Result<Bytes, Refusal> {
    let (head, body) = answer.into_parts();
    if head.status.is_success() {
        return Ok(body);
    }
    let words = match serde_json::from_slice(&body) {
        Ok(Refused { error }) => error,
        Err(_) => String::from_utf8_lossy(&body).trim_end().to_owned(),
    };
    let words = if words.is_empty() {
        format!("refused with {}", head.status)
    } else {
        words
    };
    Err(Refusal {
        status: head.status,
        words: visible_lines(&words),
    })
}

async fn within<T>(
    time: Duration,
    answer: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let late = || {
        anyhow!(
            "it has not answered for {}",
            humantime::format_duration(time)
        )
    };
    timeout(time, answer).await.map_err(|_| late()).flatten()
}
