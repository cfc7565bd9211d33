//! longwire is a WebSocket-aware reverse proxy and load balancer, made for connections that live
//! long.
//!
//! The modules stand in the order in which data meets them, and each uses only what stands below
//! it. A program that embeds longwire reads a [`config::Config`], binds a [`server::Server`] and
//! runs it:
//!
//! ```no_run
//! use std::{future::pending, path::Path};
//!
//! use longwire::{config::Config, server::{Placement, Server}};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::load(Path::new("proxy.toml"))?;
//! let server = Server::bind(&config, Placement::Threads)?;
//! server.run(pending(), pending()).await;
//! # Ok(())
//! # }
//! ```

// Tells the operator how the proxy is, and takes orders.
pub mod admin;

// Builds every part from the configuration, starts them and stops them.
pub mod server;

// Binds and accepts, within limits.
pub mod listener;

// Takes one request from arrival to response: plain HTTP or a WebSocket handshake.
pub mod proxy;

// Splices the two sockets of a WebSocket until one side ends, and keeps watch meanwhile.
pub mod tunnel;

// Chooses a backend, counts its uses, and connects to it.
pub mod pool;

// Speaks TLS to clients and to backends.
pub mod tls;

// Makes one type of all kinds of sockets.
pub mod stream;

// Speaks with another longwire process: values and open files over a channel.
pub mod handover;

// Knows the WebSocket protocol: frames, boundaries, the handshake.
pub mod websocket;

// Starts tasks again that have panicked, and counts that.
pub mod supervision;

// Knows which addresses are one client, and counts what each has.
pub mod clients;

// Counts, at next to no cost.
pub mod metrics;

// Reads and checks what the user wants.
pub mod config;

// Knows what servers make of a request's path.
pub mod path;

// Shows what others make us say, cut and escaped.
pub mod quote;
