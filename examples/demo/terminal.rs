//! What the terminal shows: a welcome, and longwire's log with the fields that matter here.

use std::{
    fmt::{self, Debug},
    io::{IsTerminal, stderr},
    net::SocketAddr,
    sync::Arc,
};

use longwire::server::Stopped;
use tracing::field::Field;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use crate::backend::Backend;

/// The fields of longwire's events that are shown; a real log keeps them all.
const SHOWN: [&str; 11] = [
    "tunnel",
    "tunnels",
    "backend",
    "affinity",
    "ended_by",
    "cause",
    "close_code",
    "method",
    "path",
    "status",
    "error",
];

pub(crate) fn log_to_stderr() {
    tracing_subscriber::fmt()
        .with_env_filter("warn,longwire=info")
        .with_target(false)
        .without_time()
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .fmt_fields(debug_fn(write_field))
        .init();
}

fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    match field.name() {
        "message" => write!(writer, "{value:?}"),
        name if SHOWN.contains(&name) => write!(writer, "  {name}={value:?}"),
        _ => Ok(()),
    }
}

/// Where to look and what to try.
pub(crate) fn welcome(plain: SocketAddr, tls: SocketAddr, backends: &[Arc<Backend>]) {
    let backends: Vec<_> = backends
        .iter()
        .map(|backend| format!("{} ({})", backend.name(), backend.address()))
        .collect();
    println!(
        "
  longwire stands in front of three chat backends:
    {}

  Open

    http://{plain}
    https://{tls}   (the browser will warn: nobody has signed this certificate)

  and try this:

    - Say something in two windows, one of them private: two people, two backends, one room.
    - Reload the page: the cookie leads back to the same backend.
    - Stop the backend that serves you: longwire says why with a Close, and you move to another.
    - Stop all three, then start one.

  The page shows longwire's configuration. Ctrl-C stops it in peace, a second one at once.
",
        backends.join(", ")
    );
}

pub(crate) fn farewell(stopped: Stopped) {
    match stopped.cut_tunnels {
        0 => println!("\n  Stopped; every tunnel was closed in peace."),
        cut => println!("\n  Stopped; {cut} tunnels did not end in time and were cut."),
    }
}
