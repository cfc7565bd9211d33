//! `[pool.NAME.health]`

mod http;
mod question;
mod websocket;

use std::{fmt, num::NonZeroUsize, time::Duration};

use toml::Spanned;

pub use self::{
    http::{HttpCheck, Statuses},
    question::Question,
    websocket::{Exchange, WebsocketCheck},
};
use super::Backend;
use crate::config::{
    address::BackendAddress,
    choice::Choice,
    diagnostics::Problem,
    field::Field,
    reading::Reported,
    section::Section,
    values::{duration, integer, one_of, positive},
};

const INTERVAL: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(2);
const RISES: NonZeroUsize = NonZeroUsize::new(2).unwrap();
const FALLS: NonZeroUsize = NonZeroUsize::new(3).unwrap();

/// `[pool.NAME.health]`: how each backend of a pool is asked whether it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What it is asked.
    pub check: Check,
    /// From the end of one check to the next. Default: 5 s.
    pub interval: Duration,
    /// A whole check, from connecting on. Default: 2 s.
    pub timeout: Duration,
    /// Checks that have to succeed in a row for a backend to come up again. Default: 2.
    pub rises: NonZeroUsize,
    /// Checks that have to fail in a row for a backend to go down. Default: 3.
    pub falls: NonZeroUsize,
    /// Where checks go instead of the backend's own port; of pools without Unix sockets only.
    pub port: Option<u16>,
    /// What becomes of the tunnels of a backend that goes down. Default: they go on.
    pub on_down: OnDown,
}

/// What a backend is asked, and what shows that it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// It can be connected to, over TLS where its address says so.
    Tcp,
    /// It answers a request.
    Http(HttpCheck),
    /// It opens a WebSocket.
    Websocket(WebsocketCheck),
}

/// What becomes of the tunnels of a backend that goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDown {
    /// They go on until they end: the checks may be wrong.
    #[default]
    Keep,
    /// They are closed, and their clients come back to other backends.
    Drain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tcp,
    Http,
    Websocket,
}

const CHECK: Choice<Kind> = Choice {
    key: "check",
    names: &[
        ("tcp", Kind::Tcp),
        ("http", Kind::Http),
        ("websocket", Kind::Websocket),
    ],
    others: &[
        ("path", &[Kind::Http, Kind::Websocket]),
        ("host", &[Kind::Http, Kind::Websocket]),
        ("headers", &[Kind::Http, Kind::Websocket]),
        ("status", &[Kind::Http]),
        ("body", &[Kind::Http]),
        ("subprotocol", &[Kind::Websocket]),
        ("ping", &[Kind::Websocket]),
        ("message", &[Kind::Websocket]),
        ("answer", &[Kind::Websocket]),
    ],
};

const ON_DOWN: [(&str, OnDown); 2] = [("keep", OnDown::Keep), ("drain", OnDown::Drain)];

impl Health {
    /// The section for a pool of these `backends`.
    pub(super) fn read(
        section: &Section<'_>,
        backends: &[Spanned<Backend>],
    ) -> Result<Self, Reported> {
        let expected = "expected what shows that a backend works: check = \"http\"";
        let check = CHECK.read(section, expected, Check::read);
        let interval = section.or("interval", duration, INTERVAL);
        let timeout = section.or("timeout", duration, TIMEOUT);
        let rises = section.or("rises", positive, RISES);
        let falls = section.or("falls", positive, FALLS);
        let port = section.optional("port", |field| port(field, backends));
        let on_down = section.or(
            "on_down",
            |field| one_of(field, &ON_DOWN),
            OnDown::default(),
        );
        Ok(Self {
            check: check?,
            interval,
            timeout,
            rises,
            falls,
            port: port?,
            on_down,
        })
    }
}

impl Check {
    fn read(section: &Section<'_>, kind: Kind) -> Result<Self, Reported> {
        match kind {
            Kind::Tcp => Ok(Self::Tcp),
            Kind::Http => HttpCheck::read(section).map(Self::Http),
            Kind::Websocket => WebsocketCheck::read(section).map(Self::Websocket),
        }
    }
}

fn port(field: &Field<'_>, backends: &[Spanned<Backend>]) -> Result<u16, Reported> {
    // The range fits.
    let port = integer(field, 1..=65_535).map(|port| u16::try_from(port).unwrap_or(u16::MAX));
    let is_unix = |address: &BackendAddress| matches!(address, BackendAddress::Unix(_));
    let unix = backends.iter().find(|b| is_unix(&b.get_ref().address));
    match unix {
        None => port,
        Some(unix) => {
            let message = "checks of this pool cannot go to another `port`";
            let problem = Problem::at(field.key_place.clone(), message);
            Err(field.report(problem.beside(unix.span(), "a Unix socket has no ports")))
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Http(_) => "http",
            Self::Websocket(_) => "websocket",
        })
    }
}
