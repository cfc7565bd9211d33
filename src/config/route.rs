//! `[[route]]`

use std::fmt;

use bytesize::ByteSize;
use http::HeaderValue;
use toml::Spanned;

use super::{
    diagnostics::{Problem, Span},
    field::Field,
    host::{HostPattern, host_header},
    keepalive::{self, Keepalive},
    limits::body,
    path,
    protocols::Protocols,
    reading::Reported,
    section::{Section, Setting},
    timeouts::{self, Timeouts},
    values::{one_of, size, text},
};
use crate::path::{Meaning, meaning};

/// `[[route]]`: host + path → pool, with its policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Which hosts it is for.
    pub host: HostPattern,
    /// The path prefix that it is for, at segment boundaries; `/` is any. Begins with `/`, and is in
    /// the normal form in which paths are matched.
    pub path: String,
    /// The pool that serves it, as an index into [`Config::pools`](super::Config::pools).
    pub pool: usize,
    /// `set_host`: what backends see as `Host`; `None` keeps the client's.
    pub set_host: Option<HeaderValue>,
    /// When tunnels of this route are pinged: its own keys over those of `[keepalive]`.
    pub keepalive: Keepalive,
    /// `upgrades`: the protocols besides WebSocket that its connections may switch to.
    /// Default: none.
    pub upgrades: Protocols,
    /// How long each step may take for requests of this route: its own keys over those of
    /// `[timeouts]`.
    pub timeouts: Timeouts,
    /// How a client hears that its handshake is refused for now. Default: by the status.
    pub refusal: Refusal,
    /// `request_body`: bytes of a request's body; `None` inside is no limit. Default: that of
    /// `[limits]`.
    pub request_body: Option<Option<u64>>,
    /// `on_backend_loss`, with `reconnect_buffer`: what becomes of a tunnel that has lost its
    /// backend. Default: it is closed.
    pub on_backend_loss: OnBackendLoss,
}

/// What becomes of a tunnel whose backend is lost without a Close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBackendLoss {
    /// It is closed.
    Close,
    /// It is connected to another backend by the same handshake, where that is possible.
    Reconnect {
        /// How much is kept of what the client sends meanwhile. Default: 64 KiB. Up to 16 MiB.
        buffer: usize,
    },
}

/// How a client hears that it is to come back later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Refusal {
    /// By the status of its handshake's answer.
    #[default]
    Status,
    /// By a Close, after its handshake was granted: browsers show the page that alone.
    Close,
}

const REFUSALS: [(&str, Refusal); 2] = [("status", Refusal::Status), ("close", Refusal::Close)];

/// A route as written: what is sound of it is compared with the others, whatever is faulty.
pub(super) struct Draft {
    pub(super) place: Span,
    pub(super) host: Setting<HostPattern>,
    pub(super) path: Setting<String>,
    pub(super) pool: Result<Spanned<String>, Reported>,
    pub(super) keepalive: keepalive::Draft,
    pub(super) timeouts: timeouts::Draft,
    set_host: Result<Option<HeaderValue>, Reported>,
    upgrades: Result<Option<Protocols>, Reported>,
    refusal: Refusal,
    request_body: Option<Option<u64>>,
    on_backend_loss: OnBackendLoss,
}

impl Draft {
    pub(super) fn read(
        section: &Section<'_>,
        base: &keepalive::Draft,
        timeouts: &timeouts::Draft,
    ) -> Self {
        Self {
            place: section.place().unwrap_or_default(),
            host: section.setting("host", HostPattern::read, HostPattern::Any),
            path: section.setting("path", path, "/".to_owned()),
            pool: section.required(
                "pool",
                "expected the name of the pool that serves it: pool = \"chat\"",
                |field| field.placed(|field| Ok(text(field, "the name of a pool")?.to_owned())),
            ),
            keepalive: keepalive_over(section, base),
            timeouts: timeouts_over(section, timeouts),
            set_host: section.optional("set_host", host_header),
            upgrades: section.optional("upgrades", Protocols::read),
            refusal: section.or(
                "refusal",
                |field| one_of(field, &REFUSALS),
                Refusal::default(),
            ),
            request_body: section.or("request_body", |field| body(field).map(Some), None),
            on_backend_loss: on_backend_loss(section),
        }
    }

    /// The route to the pool with index `pool`.
    pub(super) fn settled(self, pool: usize) -> Result<Route, Reported> {
        Ok(Route {
            host: self.host.into_inner(),
            path: self.path.into_inner(),
            pool,
            set_host: self.set_host?,
            keepalive: self.keepalive.keepalive(),
            upgrades: self.upgrades?.unwrap_or_default(),
            timeouts: self.timeouts.timeouts(),
            refusal: self.refusal,
            request_body: self.request_body,
            on_backend_loss: self.on_backend_loss,
        })
    }
}

/// The route's own keepalive over `base`; an interval that it does not set keeps its place there.
fn keepalive_over(section: &Section<'_>, base: &keepalive::Draft) -> keepalive::Draft {
    let own = section.optional("keepalive", |field| {
        field.table(|section| Ok(keepalive::Draft::read(section, base)))
    });
    own.ok().flatten().unwrap_or_else(|| base.clone())
}

/// The route's own timeouts over `base`.
fn timeouts_over(section: &Section<'_>, base: &timeouts::Draft) -> timeouts::Draft {
    let own = section.optional("timeouts", |field| {
        field.table(|section| Ok(timeouts::Draft::read_over(section, base)))
    });
    own.ok().flatten().unwrap_or_else(|| base.clone())
}

fn on_backend_loss(section: &Section<'_>) -> OnBackendLoss {
    const BUFFER: usize = 64 * 1024;
    let choices = [
        ("close", OnBackendLoss::Close),
        ("reconnect", OnBackendLoss::Reconnect { buffer: BUFFER }),
    ];
    let chosen = |field: &Field<'_>| one_of(field, &choices);
    let chosen = section.setting("on_backend_loss", chosen, OnBackendLoss::Close);
    let sizes = ByteSize::b(0)..=ByteSize::mib(16);
    let buffer = section.setting("reconnect_buffer", |field| size(field, sizes), BUFFER);
    match (*chosen, &buffer.place) {
        (OnBackendLoss::Reconnect { .. }, _) => OnBackendLoss::Reconnect { buffer: *buffer },
        (OnBackendLoss::Close, Some(place)) if !chosen.is_faulty => {
            section
                .reading
                .report(useless_buffer(place.clone(), chosen.place));
            OnBackendLoss::Close
        }
        (OnBackendLoss::Close, _) => OnBackendLoss::Close,
    }
}

fn useless_buffer(buffer: Span, on_backend_loss: Option<Span>) -> Problem {
    let problem = Problem::at(buffer, "`reconnect_buffer` is of no use here")
        .helping("only a route with on_backend_loss = \"reconnect\" keeps anything");
    match on_backend_loss {
        Some(place) => problem.beside(place, "`on_backend_loss` is here"),
        None => problem.expecting("`on_backend_loss` has its default, \"close\""),
    }
}

fn path(field: &Field<'_>) -> Result<String, Reported> {
    let expected = "a path such as \"/chat\"";
    let end: (&[_], _) = (&['?', '#'], "it ends before the query");
    let written = path::path(field, expected, end)?;
    match meaning(written) {
        Meaning::Certain(normal) => Ok(normal.into_owned()),
        Meaning::Several(_) => {
            let why = "servers read it in more than one way";
            Err(path::no_path(field, expected, why))
        }
        Meaning::Unknown(why) => Err(path::no_path(field, expected, &format!("it is {why}"))),
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.host, self.path)
    }
}
