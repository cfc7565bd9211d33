//! What a tunnel was opened for, as those know who have opened it.

use std::{fmt::Debug, net::IpAddr, time::Duration};

use super::RouteId;

/// What a tunnel was opened for.
pub trait Subject: Debug + Send + Sync {
    /// The route that it came by.
    fn route(&self) -> RouteId;

    /// The client's address.
    fn client(&self) -> IpAddr;

    /// All that is to be told of it.
    fn describe(&self) -> Description;
}

/// What is to be told of a tunnel beyond its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The client's address.
    pub client: IpAddr,
    /// The host that it has asked for.
    pub host: String,
    /// The path.
    pub path: String,
    /// The route that it came by.
    pub route: String,
    /// The pool that the route led to.
    pub pool: String,
    /// The backend that serves it.
    pub backend: String,
    /// What became of its affinity.
    pub affinity: &'static str,
    /// How long ago its request arrived.
    pub age: Duration,
}
