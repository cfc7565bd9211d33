//! The page and what its buttons ask for: a plain HTTP server behind longwire's second route.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::backend::Backend;

const PAGE: &str = include_str!("page.html");

/// The page brings everything with it and asks nobody else for anything.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      connect-src 'self' ws: wss:; img-src data:; base-uri 'none'; form-action 'none'";

/// The page's server, listening.
#[derive(Debug)]
pub(crate) struct Page {
    listener: TcpListener,
    address: SocketAddr,
    backends: Arc<[Arc<Backend>]>,
}

/// What answers requests.
#[derive(Debug)]
struct Desk {
    backends: Arc<[Arc<Backend>]>,
    configuration: String,
}

impl Page {
    pub(crate) async fn bind(backends: Arc<[Arc<Backend>]>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            backends,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves the page, which shows that configuration.
    pub(crate) async fn serve(self, configuration: String) {
        let desk = Arc::new(Desk {
            backends: self.backends,
            configuration,
        });
        loop {
            let Ok((socket, _)) = self.listener.accept().await else {
                continue;
            };
            let desk = Arc::clone(&desk);
            let service = service_fn(move |request| {
                let desk = Arc::clone(&desk);
                async move { Ok::<_, Infallible>(desk.answer(&request).await) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
        }
    }
}

impl Desk {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let path: Vec<_> = request.uri().path().split('/').skip(1).collect();
        match (request.method(), &*path) {
            (&Method::GET, [""]) => reply("text/html; charset=utf-8", PAGE.to_owned()),
            (&Method::GET, ["proxy.toml"]) => {
                reply("text/plain; charset=utf-8", self.configuration.clone())
            }
            (&Method::GET, ["backends"]) => self.roll(),
            (&Method::POST, ["backends", number, order]) => self.order(number, order).await,
            _ => failure(StatusCode::NOT_FOUND, "there is nothing here"),
        }
    }

    /// Stops or starts the backend with that number, counted from 0.
    async fn order(&self, number: &str, order: &str) -> Response<Full<Bytes>> {
        let number = number.parse().ok();
        let backend = number.and_then(|number: usize| self.backends.get(number));
        match (backend, order) {
            (Some(backend), "stop") => backend.crash().await,
            (Some(backend), "start") => {
                if let Err(error) = backend.start().await {
                    let name = backend.name();
                    let why = format!("{name} cannot start: {error}");
                    return failure(StatusCode::INTERNAL_SERVER_ERROR, &why);
                }
            }
            _ => return failure(StatusCode::NOT_FOUND, "there is no such backend"),
        }
        self.roll()
    }

    fn roll(&self) -> Response<Full<Bytes>> {
        let roll = self.backends.first().map(|backend| backend.siblings());
        reply("application/json", roll.unwrap_or_default().to_string())
    }
}

fn reply(kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let response = Response::builder()
        .header(CONTENT_TYPE, kind)
        .header(CONTENT_SECURITY_POLICY, POLICY)
        .header(CACHE_CONTROL, "no-store");
    response
        .body(Full::from(body))
        .expect("the headers above are valid")
}

fn failure(status: StatusCode, why: &str) -> Response<Full<Bytes>> {
    let mut response = reply("text/plain; charset=utf-8", why.to_owned());
    *response.status_mut() = status;
    response
}
