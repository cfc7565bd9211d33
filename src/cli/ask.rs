//! Speaks to the running proxy, at its door.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use clap::Args;
use http::{Method, Request, header::HOST};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use longwire::{
    admin::{
        api::{Done, Refused},
        usual_socket,
    },
    config::{Admin, AdminSocket},
};
use tokio::{net::UnixStream, spawn, time::timeout};

use super::File;

/// How long a proxy that lives may take to say whether it is ready.
const HEALTH: Duration = Duration::from_secs(5);

/// What the running proxy is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// To read its configuration again.
    Reload,
    /// To have another process take over.
    Upgrade,
    /// Whether it is ready.
    Health,
}

/// The proxy that is meant.
#[derive(Debug, Args)]
pub(crate) struct Addressee {
    #[command(flatten)]
    file: File,

    /// The socket of the running proxy, where it is not the one that goes with the configuration
    /// file.
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    socket: Option<PathBuf>,
}

impl Question {
    /// What the proxy answers, if that is no refusal.
    ///
    /// # Errors
    /// If it refuses, or there is none to be asked.
    pub(crate) async fn put_to(self, addressee: &Addressee) -> anyhow::Result<String> {
        let path = addressee.find()?;
        let stream = UnixStream::connect(&path).await;
        let stream = stream.map_err(|error| addressee.unreachable(&path, error))?;
        let answer = self.ask(stream);
        let answer = match self {
            // These take as long as they take, which the proxy knows best.
            Self::Reload | Self::Upgrade => answer.await,
            Self::Health => timeout(HEALTH, answer)
                .await
                .map_err(|_| {
                    anyhow!(
                        "it has not answered for {}",
                        humantime::format_duration(HEALTH)
                    )
                })
                .flatten(),
        };
        let (is_granted, text) =
            answer.with_context(|| format!("no answer at {}", path.display()))?;
        let text = text.trim_end().to_owned();
        if is_granted {
            Ok(text)
        } else {
            Err(anyhow!(text))
        }
    }

    /// Whether the answer is a good one, and its text.
    async fn ask(self, stream: UnixStream) -> anyhow::Result<(bool, String)> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        spawn(connection);
        let (method, path) = match self {
            Self::Reload => (Method::POST, "/api/v1/reload"),
            Self::Upgrade => (Method::POST, "/api/v1/upgrade"),
            Self::Health => (Method::GET, "/readyz"),
        };
        let request = Request::builder().method(method).uri(path);
        let request = request
            .header(HOST, "longwire")
            .body(Empty::<Bytes>::new())?;
        let answer = sender.send_request(request).await?;
        let is_granted = answer.status().is_success();
        let body = answer.into_body().collect().await?.to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        let words = match is_granted {
            true => serde_json::from_str::<Done>(&text).map(|done| done.done),
            false => serde_json::from_str::<Refused>(&text).map(|refused| refused.error),
        };
        Ok((is_granted, words.unwrap_or(text)))
    }
}

impl Addressee {
    /// Where its socket is. The file may be wrong: it is the proxy that judges it, which may see
    /// other surroundings than we do.
    fn find(&self) -> anyhow::Result<PathBuf> {
        if let Some(path) = &self.socket {
            return Ok(path.clone());
        }
        let file = self.file.path();
        let admin = Admin::load(file).with_context(|| format!("cannot read {}", file.display()))?;
        match admin.socket {
            AdminSocket::At(path) => Ok(path),
            AdminSocket::Usual => Ok(usual_socket(file)?),
            AdminSocket::Off => bail!(
                "a proxy that runs with {} takes no orders but signals: its `admin.socket` is \"off\"",
                file.display()
            ),
        }
    }

    fn unreachable(&self, path: &Path, error: io::Error) -> anyhow::Error {
        let path = path.display();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => match &self.socket {
                Some(_) => anyhow!("no longwire runs there: nobody listens at {path}"),
                None => anyhow!(
                    "no longwire runs with {}: nobody listens at {path}\n\
                     One whose socket lies elsewhere can be reached with --socket PATH.",
                    self.file.path().display()
                ),
            },
            io::ErrorKind::PermissionDenied => {
                anyhow!("cannot reach the proxy at {path}: its own user and root alone may")
            }
            _ => anyhow::Error::from(error).context(format!("cannot reach the proxy at {path}")),
        }
    }
}
