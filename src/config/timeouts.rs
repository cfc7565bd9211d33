//! `[timeouts]`

use std::time::Duration;

use super::{
    diagnostics::Problem,
    field::Field,
    reading::Reported,
    section::{Section, Setting},
    values::{duration, integer, or_off},
};

/// `[timeouts]`: how long each step may take. A route may have its own from `connect` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// A client's TLS handshake. Default: 10 s.
    pub tls_handshake: Duration,
    /// From when a client's connection could bring a request to the end of that request's head: how
    /// long an idle connection is kept, and how long a slow client may take. Default: 60 s.
    pub request_head: Duration,
    /// Each 4 KiB of a request's body, as far as the client is waited for; `None` is no limit.
    /// Default: 60 s.
    pub request_body: Option<Duration>,
    /// An idle connection kept to a backend for the next request. Default: 60 s.
    pub backend_idle: Duration,
    /// A connection to a backend, its TLS handshake included. Default: 5 s.
    pub connect: Duration,
    /// A connected backend's answer to a WebSocket handshake, before another backend is asked beside
    /// it; `None` asks no other before the first has failed. Default: none.
    pub answer: Option<Duration>,
    /// A WebSocket handshake with the backends, however many are tried. Default: 10 s. At least
    /// `connect`.
    pub handshake: Duration,
    /// The head of a backend's response to a plain request. Default: 2 minutes, for long-polling.
    pub response: Duration,
    /// A peer that takes nothing of what waits for it: either side of a tunnel, or the client of a
    /// plain response. Default: 30 s.
    pub stall: Duration,
    /// A client that has ended its side after a plain request, while nothing moves between it and us;
    /// `None` does not serve it. Default: 10 s.
    pub half_closed: Option<Duration>,
    /// The end of a tunnel: from a Close, or the end of one side, until both sockets are cut.
    /// Default: 10 s.
    pub close: Duration,
    /// A tunnel without a byte of its peers' own either way; `None` is no limit. Default: none.
    /// Longer than any keepalive interval of a route.
    pub tunnel_idle: Option<Duration>,
    /// A whole tunnel; `None` is no limit. Default: none. At least `tunnel_idle`.
    pub tunnel_lifetime: Option<Duration>,
    /// By how much of it, in percent, a tunnel's own lifetime may be shorter. Default: 10. 0 to 50.
    pub tunnel_lifetime_jitter: u32,
}

/// The timeouts as written: some are compared with others, and a route's own go over them.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    tls_handshake: Duration,
    request_head: Duration,
    request_body: Option<Duration>,
    backend_idle: Duration,
    half_closed: Option<Duration>,
    connect: Setting<Duration>,
    answer: Setting<Option<Duration>>,
    pub(super) handshake: Setting<Duration>,
    response: Setting<Duration>,
    stall: Setting<Duration>,
    close: Setting<Duration>,
    pub(super) tunnel_idle: Setting<Option<Duration>>,
    tunnel_lifetime: Setting<Option<Duration>>,
    tunnel_lifetime_jitter: Setting<u32>,
}

impl Draft {
    /// What nobody wrote.
    pub(super) fn unwritten() -> Self {
        let seconds = |seconds| Setting::unwritten(Duration::from_secs(seconds));
        Self {
            tls_handshake: Duration::from_secs(10),
            request_head: Duration::from_secs(60),
            request_body: Some(Duration::from_secs(60)),
            backend_idle: Duration::from_secs(60),
            half_closed: Some(Duration::from_secs(10)),
            connect: seconds(5),
            answer: Setting::unwritten(None),
            handshake: seconds(10),
            response: seconds(120),
            stall: seconds(30),
            close: seconds(10),
            tunnel_idle: Setting::unwritten(None),
            tunnel_lifetime: Setting::unwritten(None),
            tunnel_lifetime_jitter: Setting::unwritten(10),
        }
    }

    /// The whole section.
    pub(super) fn read(section: &Section<'_>) -> Self {
        let default = Self::unwritten();
        Self {
            tls_handshake: section.or("tls_handshake", duration, default.tls_handshake),
            request_head: section.or("request_head", duration, default.request_head),
            request_body: section.or(
                "request_body",
                |field| or_off(field, duration),
                default.request_body,
            ),
            backend_idle: section.or("backend_idle", duration, default.backend_idle),
            half_closed: section.or(
                "half_closed",
                |field| or_off(field, duration),
                default.half_closed,
            ),
            ..Self::read_over(section, &default)
        }
    }

    /// What a route may say for itself over `base`.
    pub(super) fn read_over(section: &Section<'_>, base: &Self) -> Self {
        let over = |key, base: &Setting<_>| section.setting_over(key, duration, base);
        let limit = |key, base: &Setting<_>| {
            section.setting_over(key, |field| or_off(field, duration), base)
        };
        let draft = Self {
            connect: over("connect", &base.connect),
            answer: limit("answer", &base.answer),
            handshake: over("handshake", &base.handshake),
            response: over("response", &base.response),
            stall: over("stall", &base.stall),
            close: over("close", &base.close),
            tunnel_idle: limit("tunnel_idle", &base.tunnel_idle),
            tunnel_lifetime: limit("tunnel_lifetime", &base.tunnel_lifetime),
            tunnel_lifetime_jitter: section.setting_over(
                "tunnel_lifetime_jitter",
                jitter,
                &base.tunnel_lifetime_jitter,
            ),
            ..*base
        };
        draft.check_handshake(section, base);
        draft.check_lifetime(section, base);
        draft
    }

    fn check_handshake(&self, section: &Section<'_>, base: &Self) {
        let is_new = is_changed(&self.connect, &base.connect)
            || is_changed(&self.handshake, &base.handshake);
        if is_new && *self.handshake < *self.connect {
            contradict(
                section,
                "`handshake` is shorter than `connect`",
                ("handshake", &self.handshake),
                ("connect", &self.connect),
                "a handshake begins with the connection, so `connect` would never be reached",
            );
        }
    }

    fn check_lifetime(&self, section: &Section<'_>, base: &Self) {
        let is_new = is_changed(&self.tunnel_idle, &base.tunnel_idle)
            || is_changed(&self.tunnel_lifetime, &base.tunnel_lifetime);
        if let (true, Some(idle), Some(lifetime)) =
            (is_new, *self.tunnel_idle, *self.tunnel_lifetime)
            && lifetime < idle
        {
            contradict(
                section,
                "`tunnel_lifetime` is shorter than `tunnel_idle`",
                ("tunnel_lifetime", &self.tunnel_lifetime),
                ("tunnel_idle", &self.tunnel_idle),
                "no tunnel would live long enough to be idle",
            );
        }
    }

    pub(super) fn timeouts(&self) -> Timeouts {
        Timeouts {
            tls_handshake: self.tls_handshake,
            request_head: self.request_head,
            request_body: self.request_body,
            backend_idle: self.backend_idle,
            half_closed: self.half_closed,
            connect: *self.connect,
            answer: *self.answer,
            handshake: *self.handshake,
            response: *self.response,
            stall: *self.stall,
            close: *self.close,
            tunnel_idle: *self.tunnel_idle,
            tunnel_lifetime: *self.tunnel_lifetime,
            tunnel_lifetime_jitter: *self.tunnel_lifetime_jitter,
        }
    }
}

/// Whether a setting is written elsewhere than the one that it goes over: what is wrong with that
/// has been said.
fn is_changed<T>(own: &Setting<T>, base: &Setting<T>) -> bool {
    own.place != base.place
}

fn jitter(field: &Field<'_>) -> Result<u32, Reported> {
    // The range fits.
    integer(field, 0..=50).map(|percent| u32::try_from(percent).unwrap_or(0))
}

/// Notes that two settings defeat each other, at the first of them that is no default.
fn contradict<T>(
    section: &Section<'_>,
    message: &str,
    first: (&str, &Setting<T>),
    second: (&str, &Setting<T>),
    help: &str,
) {
    if first.1.is_faulty || second.1.is_faulty {
        return;
    }
    let places = (first.1.place.clone(), second.1.place.clone());
    let problem = match places {
        (Some(at), Some(beside)) => {
            Problem::at(at, message).beside(beside, format!("`{}` is here", second.0))
        }
        (Some(at), None) => {
            Problem::at(at, message).expecting(format!("`{}` has its default", second.0))
        }
        (None, Some(at)) => {
            Problem::at(at, message).expecting(format!("`{}` has its default", first.0))
        }
        (None, None) => Problem::new(message),
    };
    section.reading.report(problem.helping(help));
}
