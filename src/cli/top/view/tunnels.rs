//! Who talks most.

use longwire::admin::api::Sort;
use ratatui::{Frame, layout::Rect, style::Style};

use super::grid::{self, Column, Entry};
use crate::cli::{
    speech::words::{bytes, count, rate, round_trip, short_span},
    top::{
        feed::Busy,
        state::{Pane, State},
    },
};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let columns = [
        Column::of_numbers("tunnel", 8),
        Column::of("client", width_of_clients(state, area.width)),
        Column::of_the_rest("path").from(70),
        Column::of("backend", 20).from(110),
        Column::of_numbers("age", 4).from(54),
        Column::of_numbers("messages", 10),
        Column::of_numbers("/s", 6).from(48),
        Column::of_numbers("bytes", 8).from(60),
        Column::of_numbers("/s", 8).from(120),
        Column::of_numbers("trip", 6).from(76),
        Column::of_numbers("heard", 6).from(100),
    ];
    let columns = columns.map(|column| marked(column, state.sort()));
    let rows = state.moment.tunnels.iter().map(row).collect();
    let focus = (state.scrolled(Pane::Tunnels), state.pane == Pane::Tunnels);
    grid::draw(frame, area, columns, rows, focus);
}

/// As wide as their addresses, which may be long ones.
fn width_of_clients(state: &State, width: u16) -> u16 {
    let tunnels = state.moment.tunnels.iter();
    let lengths = tunnels.map(|busy| busy.tunnel.client.to_string().len() as u16);
    let most = if width < 110 { 22 } else { 39 };
    lengths.max().unwrap_or(0).clamp(15, most)
}

/// The column that they are sorted by says so.
fn marked(mut column: Column, sort: Sort) -> Column {
    if column.title == word_of(sort) {
        column.title.insert(0, '↓');
    }
    column
}

/// The title of the column that they are sorted by.
pub(super) fn word_of(sort: Sort) -> &'static str {
    match sort {
        Sort::Messages => "messages",
        Sort::Bytes => "bytes",
        Sort::Age => "age",
        Sort::ClientRoundTrip | Sort::BackendRoundTrip => "trip",
        Sort::ClientHeard | Sort::BackendHeard => "heard",
        Sort::Client => "client",
        Sort::Backend => "backend",
        Sort::Route => "route",
        Sort::Id => "tunnel",
    }
}

fn row(busy: &Busy) -> [Entry; 11] {
    let tunnel = &busy.tunnel;
    let messages = tunnel.client_messages + tunnel.backend_messages;
    let carried = tunnel.client_bytes + tunnel.backend_bytes;
    let style = match tunnel.is_closing {
        true => super::style_of("draining"),
        false => Style::new(),
    };
    let per_second = busy
        .pace
        .map(|pace| (rate(pace.messages), bytes(pace.bytes)));
    let (messages_now, bytes_now) = per_second.unwrap_or_default();
    let trip = tunnel.client_round_trip_seconds.map(round_trip);
    [
        Entry::styled(tunnel.id.to_string(), style),
        Entry::styled(tunnel.client.to_string(), style),
        tunnel.path.clone().into(),
        tunnel.backend.clone().into(),
        short_span(tunnel.age_seconds).into(),
        count(messages).into(),
        messages_now.into(),
        bytes(carried as f64).into(),
        bytes_now.into(),
        trip.unwrap_or_default().into(),
        short_span(tunnel.client_heard_seconds).into(),
    ]
}
