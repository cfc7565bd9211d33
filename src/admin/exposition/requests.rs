//! Requests: handshakes, plain ones, and what became of their clients' affinity.

use std::fmt;

use super::family::{Families, Family};
use crate::{
    proxy::counts::{CLASSES, OUTCOMES},
    server::Control,
};

/// In these, durations are counted.
const MICROS: f64 = 1e6;

pub(super) fn write(families: &mut Families<'_>, control: &Control) -> fmt::Result {
    let routes = control.proxy().counts().all();
    let routes: Vec<_> = routes
        .iter()
        .map(|route| (route.route.as_str(), route.pool.as_str(), route.totals()))
        .collect();

    let family = Family::seconds(
        "handshake_duration",
        "From the arrival of a WebSocket handshake to its tunnel",
    );
    let granted = routes
        .iter()
        .filter(|(_, _, totals)| totals.handshakes.count() > 0);
    let granted = granted.map(|(route, pool, totals)| {
        let labels = [("route", *route), ("pool", *pool)];
        (labels, totals.handshakes.clone())
    });
    families.histograms(&family, MICROS, granted)?;

    let family = Family::new(
        "handshake_failures",
        "WebSocket handshakes that became no tunnel, by what has failed",
    );
    let failures = routes.iter().flat_map(|(route, pool, totals)| {
        totals.failures.iter().map(move |(reason, count)| {
            let labels = [("route", *route), ("pool", *pool), ("reason", *reason)];
            (labels, *count)
        })
    });
    families.counters(&family, failures)?;

    let family = Family::new(
        "requests",
        "Plain requests, by the class of the status; none for those without an answer",
    );
    let requests = routes.iter().flat_map(|(route, pool, totals)| {
        let all = CLASSES.into_iter().zip(totals.requests);
        let some = all.filter(|(_, count)| *count > 0);
        some.map(move |(class, count)| {
            let labels = [("route", *route), ("pool", *pool), ("status", class)];
            (labels, count)
        })
    });
    families.counters(&family, requests)?;

    let family = Family::seconds(
        "request_duration",
        "From the arrival of a plain request to the end of its answer",
    );
    let answered = routes
        .iter()
        .filter(|(_, _, totals)| totals.request_durations.count() > 0)
        .map(|(route, pool, totals)| {
            let labels = [("route", *route), ("pool", *pool)];
            (labels, totals.request_durations.clone())
        });
    families.histograms(&family, MICROS, answered)?;

    let family = Family::new("affinity", "What became of the affinity of clients");
    let affinity = routes.iter().flat_map(|(route, pool, totals)| {
        let all = OUTCOMES.into_iter().zip(totals.affinity);
        let some = all.filter(|(_, count)| *count > 0);
        some.map(move |(outcome, count)| {
            let labels = [
                ("route", *route),
                ("pool", *pool),
                ("outcome", outcome.name()),
            ];
            (labels, count)
        })
    });
    families.counters(&family, affinity)
}
