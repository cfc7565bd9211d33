//! What the benchmark needs besides the proxies: clients with a backend for them (`drive`), a blind
//! relay as the floor of what a proxy can cost (`relay`), and for storms a crowd of clients that
//! come back (`crowd`) to backends that a crowd is too much for (`slow`). For operations on a proxy
//! there are clients and backends whose tunnels ought to outlast them (`talk`).

mod backend;
mod client;
mod comeback;
mod conversation;
mod crew;
mod crowd;
mod drive;
mod frames;
mod journal;
mod order;
mod relay;
mod slow;
mod talk;
mod tally;
mod target;
mod tickets;
mod unblocked;
mod visits;
mod words;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

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
    /// Clients that come back whenever they lose their tunnels. They obey like those of `drive`.
    Crowd {
        /// What they connect to.
        #[arg(long)]
        target: SocketAddr,
        /// Where everything is written that happens to them.
        #[arg(long)]
        journal: PathBuf,
        /// The same number gives each client the same delays.
        #[arg(long)]
        seed: u64,
    },
    /// A backend that does one handshake at a time, each of which takes as long as the line `work
    /// MICROSECONDS` of standard input says.
    Slow {
        #[arg(long)]
        listen: SocketAddr,
        /// Where every handshake and every end is written.
        #[arg(long)]
        journal: PathBuf,
    },
    /// Backends, and clients whose tunnels are never silent. They obey like those of `drive`.
    Talk {
        /// Where a backend listens; may be repeated.
        #[arg(long = "backend", required = true)]
        backends: Vec<SocketAddr>,
        /// What clients connect to.
        #[arg(long)]
        plain: SocketAddr,
        /// The same over TLS.
        #[arg(long)]
        tls: SocketAddr,
        /// Each side of a tunnel says a message every so many milliseconds.
        #[arg(long)]
        period: u64,
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
        Part::Crowd {
            target,
            journal,
            seed,
        } => crowd::run(target, &journal, seed),
        Part::Slow { listen, journal } => slow::run(listen, &journal),
        Part::Talk {
            backends,
            plain,
            tls,
            period,
        } => talk::run(&backends, plain, tls, Duration::from_millis(period)),
    }
}
