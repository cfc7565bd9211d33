//! Connections to listeners, and TLS on both sides.

use std::fmt;

use super::family::{Families, Family};
use crate::{server::Control, tls};

pub(super) fn write(families: &mut Families<'_>, control: &Control) -> fmt::Result {
    let listeners: Vec<_> = control
        .listeners()
        .into_iter()
        .map(|(address, connections)| (address.to_string(), connections))
        .collect();
    let family = Family::new(
        "connections",
        "Client connections that are open, tunnels included",
    );
    let open = listeners.iter().map(|(listener, connections)| {
        ([("listener", listener.as_str())], connections.open as f64)
    });
    families.gauges(&family, open)?;
    let family = Family::new(
        "connections_accepted",
        "Client connections that were accepted",
    );
    let accepted = listeners
        .iter()
        .map(|(listener, connections)| ([("listener", listener.as_str())], connections.accepted));
    families.counters(&family, accepted)?;
    let family = Family::new(
        "connections_held_back",
        "Client connections that had to wait, since as many were open as may be",
    );
    let held_back = listeners
        .iter()
        .map(|(listener, connections)| ([("listener", listener.as_str())], connections.held_back));
    families.counters(&family, held_back)?;
    let family = Family::new(
        "connections_refused",
        "Client connections that were closed at once, by why",
    );
    let refused = listeners.iter().map(|(listener, connections)| {
        let labels = [("listener", listener.as_str()), ("reason", "client_full")];
        (labels, connections.refused)
    });
    families.counters(&family, refused)?;
    write_tls(families, control)
}

fn write_tls(families: &mut Families<'_>, control: &Control) -> fmt::Result {
    let pools = control.pools();
    let mut sides = vec![("client", "", control.tls())];
    sides.extend(
        pools
            .iter()
            .map(|pool| ("backend", pool.name(), pool.tls())),
    );
    let family = Family::new(
        "tls_handshakes",
        "TLS handshakes that were completed, by version and whether they went on from a session",
    );
    families.counters(
        &family,
        sides.iter().flat_map(|(side, pool, totals)| {
            let some = totals.completed.iter().filter(|(_, count)| *count > 0);
            some.map(move |(handshake, count)| {
                let labels = [
                    ("side", *side),
                    ("pool", *pool),
                    ("version", if handshake.is_tls13 { "1.3" } else { "1.2" }),
                    (
                        "resumed",
                        if handshake.is_resumed {
                            "true"
                        } else {
                            "false"
                        },
                    ),
                ];
                (labels, *count)
            })
        }),
    )?;
    let family = Family::new(
        "tls_handshake_failures",
        "TLS handshakes that were not completed, by why",
    );
    families.counters(
        &family,
        sides.iter().flat_map(|(side, pool, totals)| {
            let some = totals.failed.iter().filter(|(_, count)| *count > 0);
            some.map(move |(failure, count): &(tls::Failure, u64)| {
                let labels = [("side", *side), ("pool", *pool), ("reason", failure.name())];
                (labels, *count)
            })
        }),
    )
}
