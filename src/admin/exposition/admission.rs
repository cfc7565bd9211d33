//! Storm control: who waits to be let in, for how long, and who is refused.

use std::fmt;

use super::family::{Families, Family, Labels};
use crate::{metrics::Snapshot, pool::admission::Queue, server::Control};

/// In these, waits are counted.
const MICROS: f64 = 1e6;

/// The line at a gate, or at gates that belong together.
struct Line {
    scope: &'static str,
    pool: String,
    backend: String,
    queue: Queue,
}

pub(super) fn write(families: &mut Families<'_>, control: &Control) -> fmt::Result {
    let lines = lines(control);
    let family = Family::new(
        "handshakes_waiting",
        "WebSocket handshakes that wait to be let in",
    );
    let waiting = lines
        .iter()
        .map(|line| (line.labels(), line.queue.waiting as f64));
    families.gauges(&family, waiting)?;
    let family = Family::new(
        "handshakes_waiting_limit",
        "WebSocket handshakes that may wait to be let in",
    );
    let limits = lines.iter().filter_map(|line| {
        let most = line.queue.most?;
        Some((line.labels(), most as f64))
    });
    families.gauges(&family, limits)?;
    let family = Family::new(
        "handshakes_refused",
        "WebSocket handshakes that were not let in, since too many waited or it took too long",
    );
    let refused = lines.iter().map(|line| (line.labels(), line.queue.refused));
    families.counters(&family, refused)?;
    let family = Family::seconds(
        "handshake_wait",
        "How long those waited who were let in where somebody may have to wait",
    );
    let waits = lines.iter().filter(|line| line.queue.waits.count() > 0);
    let waits = waits
        .map(|line| -> (Labels<'_, 3>, Snapshot) { (line.labels(), line.queue.waits.clone()) });
    families.histograms(&family, MICROS, waits)?;
    write_requests(families, control)
}

fn write_requests(families: &mut Families<'_>, control: &Control) -> fmt::Result {
    let proxy = control.proxy();
    let mut refused = vec![
        ("client", String::new(), proxy.client_requests().refused),
        ("proxy", String::new(), proxy.requests().refused),
    ];
    refused.extend(control.pools().iter().map(|pool| {
        let refused = pool.request_queue().refused;
        ("pool", pool.name().to_owned(), refused)
    }));
    let family = Family::new(
        "requests_refused",
        "Plain requests that were not let in, since too many came",
    );
    let samples = refused
        .iter()
        .map(|(scope, pool, refused)| ([("scope", *scope), ("pool", pool)], *refused));
    families.counters(&family, samples)
}

fn lines(control: &Control) -> Vec<Line> {
    let proxy = control.proxy();
    let mut lines = vec![
        Line::new("client", "", "", proxy.client_queues()),
        Line::new("proxy", "", "", proxy.queue()),
    ];
    for pool in &*control.pools() {
        lines.push(Line::new("pool", pool.name(), "", pool.queue()));
        for backend in pool.backends() {
            let (name, queue) = (backend.name(), backend.queue());
            lines.push(Line::new("backend", pool.name(), name, queue));
        }
    }
    lines
}

impl Line {
    fn new(scope: &'static str, pool: &str, backend: &str, queue: Queue) -> Self {
        Self {
            scope,
            pool: pool.to_owned(),
            backend: backend.to_owned(),
            queue,
        }
    }

    fn labels(&self) -> Labels<'_, 3> {
        [
            ("scope", self.scope),
            ("pool", &self.pool),
            ("backend", &self.backend),
        ]
    }
}
