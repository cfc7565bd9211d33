//! One tunnel, in detail.

use longwire::admin::api::Tunnel;

use crate::cli::speech::{
    Cell, Column, Table,
    paint::{BOLD, FAINT, PASSING, painted},
    words::{ago, bytes, count, plain, round_trip, span},
};

/// Everything that is known of it.
pub(super) fn portrait(tunnel: &Tunnel) -> String {
    let closing = match tunnel.is_closing {
        true => painted(", told to close", PASSING),
        false => String::new(),
    };
    format!(
        "{}, open for {}{closing}\n{}\n{}",
        painted(&format!("tunnel {}", tunnel.id), BOLD),
        span(tunnel.age_seconds),
        origin(tunnel),
        traffic(tunnel)
    )
}

/// Where it comes from and where it leads to.
fn origin(tunnel: &Tunnel) -> Table {
    let mut table = Table::new([Column::of(""), Column::of("")]).indented(2);
    let asked_for = format!("{}{}", tunnel.host, tunnel.path);
    let client = tunnel.client.to_string();
    let lines = [
        ("client", &client),
        ("asked for", &asked_for),
        ("route", &tunnel.route),
        ("pool", &tunnel.pool),
        ("backend", &tunnel.backend),
        ("affinity", &tunnel.affinity),
    ];
    for (name, value) in lines {
        table.row([Cell::painted(name, FAINT), plain(value).into()]);
    }
    table
}

/// What went through it, and how its sides are.
fn traffic(tunnel: &Tunnel) -> Table {
    let columns = [Column::of(""), Column::of("client"), Column::of("backend")];
    let mut table = Table::new(columns).indented(2);
    let trip = |seconds: Option<f64>| seconds.map_or("not measured".to_owned(), round_trip);
    let lines = [
        (
            "messages from",
            [tunnel.client_messages, tunnel.backend_messages].map(count),
        ),
        (
            "bytes from",
            [tunnel.client_bytes, tunnel.backend_bytes].map(|sum| bytes(sum as f64)),
        ),
        (
            "last heard",
            [tunnel.client_heard_seconds, tunnel.backend_heard_seconds].map(ago),
        ),
        (
            "round trip",
            [
                tunnel.client_round_trip_seconds,
                tunnel.backend_round_trip_seconds,
            ]
            .map(trip),
        ),
    ];
    for (name, [client, backend]) in lines {
        table.row([Cell::painted(name, FAINT), client.into(), backend.into()]);
    }
    table
}
