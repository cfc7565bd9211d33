//! What the benchmark needs besides the proxies: clients with a backend for them (`drive`), and a
//! blind relay as the floor of what a proxy can cost (`relay`).

mod backend;
mod client;
mod crew;
mod drive;
mod frames;
mod order;
mod relay;
mod tally;
mod target;
mod tickets;

use std::{net::SocketAddr, path::PathBuf};

use clap::Parser;

/// Clients, a backend and a relay for measuring WebSocket proxies.
#[derive(Parser)]
enum Part {
    /// Serves as the backend, and as clients does what the lines of standard input say. Each line
    /// is answered with one of JSON.
    Drive {
        /// Where the backend listens.
        #[arg(long)]
        backend: SocketAddr,
        /// What the clients connect to.
        #[arg(long)]
        target: SocketAddr,
        /// Speak TLS 1.3 to the target.
        #[arg(long)]
        tls: bool,
    },
    /// Passes bytes on without looking at them.
    Relay {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        backend: SocketAddr,
        /// Speak TLS to clients, with the certificate and the key in this PEM file.
        #[arg(long)]
        tls: Option<PathBuf>,
    },
}

fn main() -> anyhow::Result<()> {
    match Part::parse() {
        Part::Drive {
            backend,
            target,
            tls,
        } => drive::run(backend, target, tls),
        Part::Relay {
            listen,
            backend,
            tls,
        } => relay::run(listen, backend, tls.as_deref()),
    }
}
