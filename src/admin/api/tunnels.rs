//! Live tunnels, and how they are closed.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// `GET /api/v1/tunnels?…`: which tunnels, in which order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Query {
    /// Those that came by this route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Those of this pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Those of this backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Those of clients with this address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
    /// Those with this text in their number, client, host, path, route, pool or backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
    /// What they are sorted by.
    pub sort: Sort,
    /// Whether the largest come first.
    pub descending: bool,
    /// How many of them are left out at the beginning.
    pub offset: usize,
    /// How many are wanted: up to 1,000; 100 if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// What tunnels are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// Their number: the order in which they were opened.
    #[default]
    Id,
    /// How long they have been open.
    Age,
    /// The client's address.
    Client,
    /// The route that they came by.
    Route,
    /// The backend that serves them.
    Backend,
    /// Messages both ways.
    Messages,
    /// Bytes both ways.
    Bytes,
    /// How long ago something was heard of the client.
    ClientHeard,
    /// How long ago something was heard of the backend.
    BackendHeard,
    /// The client's round trip.
    ClientRoundTrip,
    /// The backend's round trip.
    BackendRoundTrip,
}

/// Some of the tunnels that match a query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// How many match.
    pub total: usize,
    /// Those that were asked for.
    pub tunnels: Vec<Tunnel>,
}

/// A live tunnel. `GET /api/v1/tunnels/{id}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tunnel {
    /// Its number, unique in the process, and kept through upgrades.
    pub id: u64,
    /// The client's address.
    pub client: IpAddr,
    /// The host that the client has asked for.
    pub host: String,
    /// The path.
    pub path: String,
    /// The route that it came by.
    pub route: String,
    /// The pool that the route led to.
    pub pool: String,
    /// The backend that serves it.
    pub backend: String,
    /// What became of the client's affinity: `none`, `new`, `kept`, `moved` or `forged`.
    pub affinity: String,
    /// Whether it was told to close.
    pub is_closing: bool,
    /// How long ago its request arrived.
    pub age_seconds: f64,
    /// Bytes from the client.
    pub client_bytes: u64,
    /// Messages from the client.
    pub client_messages: u64,
    /// How long ago something was heard of the client, in whole seconds.
    pub client_heard_seconds: f64,
    /// How long the client took to answer our last ping; `None` if it was never asked.
    pub client_round_trip_seconds: Option<f64>,
    /// Bytes from the backend.
    pub backend_bytes: u64,
    /// Messages from the backend.
    pub backend_messages: u64,
    /// How long ago something was heard of the backend, in whole seconds.
    pub backend_heard_seconds: f64,
    /// How long the backend took to answer our last ping; `None` if it was never asked.
    pub backend_round_trip_seconds: Option<f64>,
}

/// `POST /api/v1/tunnels/{id}/close`: what a tunnel's sides are told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CloseOne {
    /// The code of the Close; 1001 (going away) if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// The reason in it, of at most 123 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `POST /api/v1/tunnels/close`: which tunnels are closed, and how. At least one of the first five
/// has to be said, or `all`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CloseSome {
    /// Those that came by this route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Those of this pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Those of this backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Those of clients with this address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
    /// Those that have been open for so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older_than_seconds: Option<f64>,
    /// Every tunnel there is.
    pub all: bool,
    /// The code of the Close; 1001 (going away) if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// The reason in it, of at most 123 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Over how long they are told, one after the other; all at once if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over_seconds: Option<f64>,
}

/// How far the closing of tunnels is. `GET /api/v1/closings/{id}`
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Closing {
    /// Its number.
    pub id: u64,
    /// Tunnels that are meant.
    pub total: usize,
    /// Tunnels that have not been told to close yet.
    pub untold: usize,
    /// Tunnels that have not ended yet.
    pub left: usize,
    /// How long it takes until all have been told.
    pub seconds_left: f64,
}
