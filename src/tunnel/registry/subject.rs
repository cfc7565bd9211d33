//! What a tunnel was opened for, as those know who have opened it.

use std::{fmt::Debug, net::IpAddr, time::Duration};

use super::RouteId;

/// What a tunnel was opened for.
pub trait Subject: Debug + Send + Sync {
    /// The route that it came by.
    fn route(&self) -> RouteId;

    /// The client's address.
    fn client(&self) -> IpAddr;

    /// Shows `look` all that is to be told of it, without a copy.
    fn show(&self, look: &mut dyn FnMut(&Sketch<'_>));
}

/// What is to be told of a tunnel beyond its life, as its owner keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sketch<'s> {
    /// The client's address.
    pub client: IpAddr,
    /// The host that it has asked for.
    pub host: &'s str,
    /// The path.
    pub path: &'s str,
    /// The route that it came by.
    pub route: &'s str,
    /// The pool that the route led to.
    pub pool: &'s str,
    /// The backend that serves it.
    pub backend: &'s str,
    /// What became of its affinity.
    pub affinity: &'static str,
    /// How long ago its request arrived.
    pub age: Duration,
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

impl From<&Sketch<'_>> for Description {
    fn from(sketch: &Sketch<'_>) -> Self {
        Self {
            client: sketch.client,
            host: sketch.host.to_owned(),
            path: sketch.path.to_owned(),
            route: sketch.route.to_owned(),
            pool: sketch.pool.to_owned(),
            backend: sketch.backend.to_owned(),
            affinity: sketch.affinity,
            age: sketch.age,
        }
    }
}
