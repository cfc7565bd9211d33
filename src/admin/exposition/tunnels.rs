//! Tunnels: how many, how they end, what passes through them, whether their sides live.

use std::fmt;

use super::family::{Families, Family};
use crate::{
    proxy::counts::{RouteCounts, RouteTotals, ServiceCounts},
    server::Control,
    tunnel::{OPCODES, SideTotals, Totals},
};

/// In these, lifetimes are counted.
const MILLIS: f64 = 1e3;

/// In these, round trips are.
const MICROS: f64 = 1e6;

pub(super) fn write(families: &mut Families<'_>, control: &Control) -> fmt::Result {
    let routes = control.proxy().counts().all();
    let routes: Vec<_> = routes
        .iter()
        .map(|route| (&**route, route.totals()))
        .collect();
    write_counts(families, &routes)?;
    write_ends(families, &routes)?;
    let totals = control.registry().totals();
    let Totals { client, backend } = &totals;
    let sides = [("client", client), ("backend", backend)];
    write_passed(families, sides)?;
    write_life(families, sides)
}

type Route<'r> = (&'r RouteCounts, RouteTotals);

fn write_counts(families: &mut Families<'_>, routes: &[Route<'_>]) -> fmt::Result {
    let family = Family::new("tunnels", "Open tunnels");
    families.gauges(&family, by_service(routes, |service| service.open as f64))?;
    let family = Family::new("tunnels_opened", "Tunnels that were opened");
    families.counters(&family, by_service(routes, |service| service.opened))?;
    let family = Family::new(
        "tunnels_rescued",
        "Tunnels that came to this backend when their own was lost",
    );
    families.counters(&family, by_service(routes, |service| service.rescued))
}

fn write_ends(families: &mut Families<'_>, routes: &[Route<'_>]) -> fmt::Result {
    let family = Family::new(
        "tunnels_ended",
        "Tunnels that have ended, by who ended them, why, and the code of the first Close",
    );
    let ended = routes.iter().flat_map(|(route, totals)| {
        totals.services.iter().flat_map(move |(backend, service)| {
            service.ended.iter().map(move |(ending, count)| {
                let labels = [
                    ("route", route.route.as_str()),
                    ("pool", &route.pool),
                    ("backend", backend),
                    ("by", ending.by),
                    ("cause", ending.cause),
                    ("code", ending.code),
                ];
                (labels, *count)
            })
        })
    });
    families.counters(&family, ended)?;
    let family = Family::seconds(
        "tunnel_lifetime",
        "How long tunnels were open that have ended",
    );
    let lifetimes = routes
        .iter()
        .filter(|(_, totals)| !totals.services.is_empty())
        .map(|(route, totals)| {
            let labels = [("route", route.route.as_str()), ("pool", &route.pool)];
            (labels, totals.lifetimes.clone())
        });
    families.histograms(&family, MILLIS, lifetimes)
}

fn write_passed(families: &mut Families<'_>, sides: [(&str, &SideTotals); 2]) -> fmt::Result {
    let family = Family::bytes("tunnel", "What has come from this side and was passed on");
    let bytes = sides.map(|(name, side)| ([("side", name)], side.bytes));
    families.counters(&family, bytes)?;
    let family = Family::new(
        "tunnel_frames",
        "Frames that have come from this side and were passed on",
    );
    let frames = sides.into_iter().flat_map(|(name, side)| {
        let all = OPCODES.into_iter().zip(side.frames);
        all.map(move |(opcode, count)| ([("side", name), ("opcode", opcode)], count))
    });
    families.counters(&family, frames)?;
    let family = Family::new(
        "tunnel_messages",
        "Messages that have come from this side and were passed on to their end",
    );
    let messages = sides.into_iter().flat_map(|(name, side)| {
        let all = [("text", side.texts), ("binary", side.binaries)];
        all.map(|(opcode, count)| ([("side", name), ("opcode", opcode)], count))
    });
    families.counters(&family, messages)?;
    let family = Family::bytes(
        "tunnel_message_size",
        "The payload of messages from this side",
    );
    let sizes = sides.map(|(name, side)| ([("side", name)], side.message_sizes.clone()));
    families.histograms(&family, 1.0, sizes)
}

fn write_life(families: &mut Families<'_>, sides: [(&str, &SideTotals); 2]) -> fmt::Result {
    let family = Family::new("pings_sent", "Pings of ours to this side");
    let pings = sides.map(|(name, side)| ([("side", name)], side.pings));
    families.counters(&family, pings)?;
    let family = Family::seconds(
        "ping_round_trip",
        "How long this side took to answer a ping of ours",
    );
    let round_trips = sides.map(|(name, side)| ([("side", name)], side.round_trips.clone()));
    families.histograms(&family, MICROS, round_trips)?;
    let family = Family::new(
        "peers_dead",
        "How often this side was given up, since it did not answer a ping",
    );
    let dead = sides.map(|(name, side)| ([("side", name)], side.dead));
    families.counters(&family, dead)
}

/// A number of each backend on each route.
fn by_service<'r, V>(
    routes: &'r [Route<'r>],
    value: impl Fn(&ServiceCounts) -> V + Copy,
) -> impl Iterator<Item = ([(&'static str, &'r str); 3], V)> {
    routes.iter().flat_map(move |(route, totals)| {
        totals.services.iter().map(move |(backend, service)| {
            let labels = [
                ("route", route.route.as_str()),
                ("pool", &*route.pool),
                ("backend", &**backend),
            ];
            (labels, value(service))
        })
    })
}
