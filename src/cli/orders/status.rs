//! `longwire status`: the process, its pools and its backends, at a glance.

use std::fmt::Write;

use anstyle::Style;
use clap::Args;
use longwire::{
    admin::api::{self, Backend, Pool, Pools},
    server::Readiness,
};
use serde_json::json;

use crate::cli::{
    client::{Path, Reach},
    speech::{
        Audience, Cell, Column, Stage, Table,
        paint::{BAD, BOLD, FAINT, PASSING, of_state, painted},
        words::{ago, bytes, count, counted, plain, rate, round_trips, span},
    },
};

/// Show the running proxy: its tunnels, pools, backends and rates.
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    audience: Audience,
}

impl Status {
    pub(super) async fn carry_out(self) -> anyhow::Result<()> {
        let client = self.reach.client()?;
        let status = client.get::<api::Status>(&Path::api(["status"])).await?;
        let pools = client.get::<Pools>(&Path::api(["pools"])).await?;
        let both = json!({"status": status.json, "pools": pools.json["pools"]});
        self.audience
            .tell(&both, || overview(&status.value, &pools.value.pools))
    }
}

fn overview(status: &api::Status, pools: &[Pool]) -> String {
    let mut text = head(status);
    text.push('\n');
    text.push_str(&counts(status).to_string());
    text.push('\n');
    text.push_str(&traffic(status).to_string());
    for pool in pools {
        text.push('\n');
        text.push_str(&title(pool));
        text.push_str(&backends(pool).to_string());
    }
    if !status.ends.is_empty() {
        text.push('\n');
        text.push_str(&ends(&status.ends).to_string());
    }
    text
}

/// Which process it is, and how it is.
fn head(status: &api::Status) -> String {
    let readiness = word_of(status.readiness);
    let api::Configuration {
        file,
        loaded_at,
        reloads,
        refused_reloads,
    } = &status.configuration;
    let now = status.started_at + status.uptime_seconds;
    let file = match file {
        Some(file) => format!("{}, read {}", plain(file), ago(now - loaded_at)),
        None => "without a file".to_owned(),
    };
    let reloads = match (reloads, refused_reloads) {
        (0, 0) => String::new(),
        (reloads, 0) => format!(", {reloads} reloads"),
        (reloads, refused) => format!(", {reloads} reloads and {refused} refused"),
    };
    format!(
        "{}  {}, up {}, process {}, {}\n{file}{reloads}, logs {}\n",
        painted(&format!("longwire {}", plain(&status.version)), BOLD),
        painted(readiness, of_state(readiness)),
        span(status.uptime_seconds),
        status.pid,
        counted(status.workers, "worker"),
        plain(&status.log_level),
    )
}

pub(crate) fn word_of(readiness: Readiness) -> &'static str {
    match readiness {
        Readiness::Ready => "ready",
        Readiness::Stopping => "stopping",
    }
}

/// How many there are, and how many come and go.
fn counts(status: &api::Status) -> Table {
    let api::Tunnels {
        open,
        closing,
        opened,
        ended,
    } = status.tunnels;
    let closing = match closing {
        0 => String::new(),
        _ => format!(", {} closing", count(closing)),
    };
    let rates = &status.rates;
    let mut table = Table::new([Column::of(""), Column::of("")]);
    let tunnels = format!(
        "{} open{closing}; {} opened, {}; {} ended, {}",
        count(open),
        count(opened),
        per_second(rates.opened),
        count(ended),
        per_second(rates.ended)
    );
    let requests = rate(rates.requests);
    let connections = format!("{}; {requests} requests/s", count(status.connections));
    table.row([Cell::painted("tunnels", FAINT), tunnels.into()]);
    table.row([Cell::painted("connections", FAINT), connections.into()]);
    table
}

/// What each side sends, and how fast it answers.
fn traffic(status: &api::Status) -> Table {
    let columns = [
        Column::of(""),
        Column::of("clients"),
        Column::of("backends"),
    ];
    let mut table = Table::new(columns);
    let rates = &status.rates;
    let trips = &status.round_trips;
    let rows = [
        (
            "messages",
            [rates.client_messages, rates.backend_messages].map(per_second),
        ),
        (
            "bytes",
            [rates.client_bytes, rates.backend_bytes].map(|rate| format!("{}/s", bytes(rate))),
        ),
        (
            "round trips, p50 p90 p99",
            [trips.client, trips.backend].map(round_trips),
        ),
    ];
    for (name, [client, backend]) in rows {
        table.row([Cell::painted(name, FAINT), client.into(), backend.into()]);
    }
    table
}

fn per_second(number: f64) -> String {
    format!("{}/s", rate(number))
}

fn title(pool: &Pool) -> String {
    let affinity = match &*pool.affinity {
        "none" => "no affinity".to_owned(),
        by => format!("{} affinity", plain(by)),
    };
    let mut title = format!(
        "{}  {}, {}, {affinity}",
        painted(&plain(&pool.name), BOLD),
        counted(pool.tunnels, "tunnel"),
        plain(&pool.balance),
    );
    // Writing to a string succeeds.
    if pool.queue.waiting > 0 {
        let waiting = count(pool.queue.waiting);
        let _ = match pool.queue.most {
            Some(most) => write!(title, ", {waiting} of {} wait", count(most)),
            None => write!(title, ", {waiting} wait"),
        };
    }
    if pool.rebalance.is_running {
        title.push_str(match pool.rebalance.is_paused {
            true => ", rebalance paused: too few clients come back",
            false => ", rebalancing",
        });
    }
    title.push('\n');
    title
}

fn backends(pool: &Pool) -> Table {
    let columns = [
        Column::of("backend").that_gives_way(),
        Column::of("state"),
        Column::of_numbers("tunnels"),
        Column::of_numbers("share"),
        Column::of_numbers("opened"),
        Column::of_numbers("requests"),
        Column::of_numbers("checks failed"),
    ];
    let mut table = Table::new(columns).indented(2);
    for backend in &pool.backends {
        table.row(row(backend));
        for (note, style) in notes(backend) {
            table.note(&note, style);
        }
    }
    table
}

fn row(backend: &Backend) -> [Cell; 7] {
    let tunnels = match backend.max_tunnels {
        Some(most) => format!("{} of {}", count(backend.tunnels), count(most)),
        None => count(backend.tunnels),
    };
    let checks = match &backend.checks {
        Some(checks) => format!(
            "{} of {}",
            count(checks.failed),
            count(checks.passed + checks.failed)
        ),
        None => "not checked".to_owned(),
    };
    [
        (&*backend.name).into(),
        Cell::painted(&backend.state, of_state(&backend.state)),
        tunnels.into(),
        format!("{:.0} %", backend.share * 100.0).into(),
        count(backend.opened).into(),
        count(backend.requests).into(),
        checks.into(),
    ]
}

/// What else is to be known of a backend.
fn notes(backend: &Backend) -> Vec<(String, Style)> {
    let mut notes = Vec::new();
    if backend.intent != backend.state && backend.intent != "ready" {
        notes.push((format!("is to be {}", backend.intent), PASSING));
    }
    if let Some(draining) = backend.drain {
        let gone = draining.total.saturating_sub(draining.left);
        let (gone, total) = (count(gone), count(draining.total));
        let outlook = Stage::from(draining).outlook();
        notes.push((format!("{gone} of {total} are gone, {outlook}"), PASSING));
    }
    if let Some(ejected) = &backend.ejected {
        let left = span(ejected.seconds_left);
        notes.push((format!("for {left} more: {}", ejected.reason), BAD));
    }
    let checks = backend.checks.as_ref();
    if let Some(failure) = checks.and_then(|checks| checks.last_failure.as_ref()) {
        let style = if backend.state == "down" { BAD } else { FAINT };
        notes.push((format!("failed last: {failure}"), style));
    }
    notes
}

fn ends(ends: &[api::Ends]) -> Table {
    let columns = [
        Column::of("ended by"),
        Column::of("cause"),
        Column::of("code"),
        Column::of_numbers("tunnels"),
    ];
    let mut table = Table::new(columns);
    for end in ends {
        table.row([
            (&*end.by).into(),
            (&*end.cause).into(),
            (&*end.code).into(),
            count(end.count).into(),
        ]);
    }
    table
}
