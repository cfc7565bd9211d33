//! The machinery behind the stories: a proxy in this process, backends of every temper, clients.
//!
//! Everything runs on the test's own runtime and on port 0, so a test with a paused clock drives
//! the proxy's time too.

mod backend;
mod client;
mod http;
mod proxy;
mod raw;
mod raw_backend;

pub(crate) use self::{
    backend::{Backend, Request, Response, echo_cluster},
    client::Client,
    http::Answer,
    proxy::{Proxy, ProxyBuilder},
    raw::{Frame, Raw, header, headers},
    raw_backend::{RawBackend, narrow_client},
};
