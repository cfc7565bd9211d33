//! `[timeouts]`

use std::time::Duration;

use super::{
    diagnostics::Problem,
    field::Field,
    reading::Reported,
    section::{Section, Setting},
    values::{duration, integer, or_off},
};

/// `[timeouts]`: how long each step may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// A client's TLS handshake. Default: 10 s.
    pub tls_handshake: Duration,
    /// From when a client's connection could bring a request to the end of that request's head: how
    /// long an idle connection is kept, and how long a slow client may take. Default: 60 s.
    pub request_head: Duration,
    /// An idle connection kept to a backend for the next request. Default: 60 s.
    pub backend_idle: Duration,
    /// A connection to a backend, its TLS handshake included. Default: 5 s.
    pub connect: Duration,
    /// A connected backend's answer to a WebSocket handshake, if another backend could be asked
    /// instead. Default: 5 s.
    pub answer: Duration,
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

/// The timeouts as written: one of them is compared with the keepalives of routes.
pub(super) struct Draft {
    pub(super) timeouts: Timeouts,
    pub(super) tunnel_idle: Setting<Option<Duration>>,
}

impl Draft {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let or = |key, default| section.or(key, duration, Duration::from_secs(default));
        let setting = |key, default| section.setting(key, duration, Duration::from_secs(default));
        let limit = |key| section.setting(key, |field| or_off(field, duration), None);

        let connect = setting("connect", 5);
        let handshake = setting("handshake", 10);
        let tunnel_idle = limit("tunnel_idle");
        let tunnel_lifetime = limit("tunnel_lifetime");
        if *handshake < *connect {
            contradict(
                section,
                "`handshake` is shorter than `connect`",
                ("handshake", &handshake),
                ("connect", &connect),
                "a handshake begins with the connection, so `connect` would never be reached",
            );
        }
        if let (Some(idle), Some(lifetime)) = (*tunnel_idle, *tunnel_lifetime)
            && lifetime < idle
        {
            contradict(
                section,
                "`tunnel_lifetime` is shorter than `tunnel_idle`",
                ("tunnel_lifetime", &tunnel_lifetime),
                ("tunnel_idle", &tunnel_idle),
                "no tunnel would live long enough to be idle",
            );
        }
        let timeouts = Timeouts {
            tls_handshake: or("tls_handshake", 10),
            request_head: or("request_head", 60),
            backend_idle: or("backend_idle", 60),
            connect: *connect,
            answer: or("answer", 5),
            handshake: *handshake,
            response: or("response", 120),
            stall: or("stall", 30),
            half_closed: section.or(
                "half_closed",
                |field| or_off(field, duration),
                Some(Duration::from_secs(10)),
            ),
            close: or("close", 10),
            tunnel_idle: *tunnel_idle,
            tunnel_lifetime: *tunnel_lifetime,
            tunnel_lifetime_jitter: section.or("tunnel_lifetime_jitter", jitter, 10),
        };
        Self {
            timeouts,
            tunnel_idle,
        }
    }
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
