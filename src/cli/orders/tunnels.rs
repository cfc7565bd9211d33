//! `longwire tunnels`: the tunnels that are open, one of them, or their coming and going.

use std::net::IpAddr;

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use longwire::admin::api::{Page, Query, Sort, Tunnel};
use serde::Deserialize;
use serde_json::Value;

use super::{follow::follow, listing::every, tunnel::portrait};
use crate::cli::{
    client::{Client, Path, Reach},
    speech::{
        Audience, Cell, Column, Table,
        paint::{FAINT, PASSING},
        words::{bytes, count, round_trip, short_span},
    },
};

const SORTS: [&str; 11] = [
    "id",
    "age",
    "client",
    "route",
    "backend",
    "messages",
    "bytes",
    "client_heard",
    "backend_heard",
    "client_round_trip",
    "backend_round_trip",
];

/// Show open tunnels: those that match, or one in detail.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longwire tunnels --pool chat --sort bytes --desc   the largest first
  longwire tunnels --search /room/7 --all            all with this in their path, or elsewhere
  longwire tunnels 17                                one of them in detail
  longwire tunnels --follow                          what opens and ends, from now on")]
pub(crate) struct Tunnels {
    /// The number of the one to show in detail.
    #[arg(value_name = "NUMBER", conflicts_with_all = ["filters", "order", "follow"])]
    id: Option<u64>,

    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    order: Order,

    /// Print each tunnel that opens and each that ends, from now on, by a look each second.
    #[arg(long, conflicts_with = "order")]
    follow: bool,

    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    audience: Audience,
}

#[derive(Debug, Args)]
#[group(id = "filters", multiple = true)]
struct Filters {
    /// Only those that came by this route.
    #[arg(long)]
    route: Option<String>,

    /// Only those of this pool.
    #[arg(long)]
    pool: Option<String>,

    /// Only those of this backend.
    #[arg(long)]
    backend: Option<String>,

    /// Only those of clients with this address.
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,

    /// Only those with this text in their number, client, host, path, route, pool or backend.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
}

#[derive(Debug, Args)]
#[group(id = "order", multiple = true)]
struct Order {
    /// What they are sorted by.
    #[arg(
        long,
        value_name = "FIELD",
        default_value = "id",
        value_parser = PossibleValuesParser::new(SORTS).map(sort)
    )]
    sort: Sort,

    /// The largest first.
    #[arg(long)]
    desc: bool,

    /// How many to show at most, up to 1,000. [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: Option<u16>,

    /// Show all of them, however many.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

fn sort(name: String) -> Sort {
    // The names are those of the values.
    Sort::deserialize(Value::from(name)).unwrap_or_default()
}

impl Tunnels {
    pub(super) async fn carry_out(self) -> anyhow::Result<()> {
        let client = self.reach.client()?;
        if let Some(id) = self.id {
            let path = Path::api(["tunnels", &id.to_string()]);
            let tunnel = client.get::<Tunnel>(&path).await?;
            return self.audience.tell(&tunnel.json, || portrait(&tunnel.value));
        }
        let query = self.query();
        if self.follow {
            return follow(&client, &query, self.audience).await;
        }
        self.list(&client, &query).await
    }

    fn query(&self) -> Query {
        let Filters {
            route,
            pool,
            backend,
            client,
            search,
        } = &self.filters;
        Query {
            route: route.clone(),
            pool: pool.clone(),
            backend: backend.clone(),
            client: *client,
            search: search.clone(),
            sort: self.order.sort,
            descending: self.order.desc,
            offset: 0,
            limit: self.order.limit.map(usize::from),
        }
    }

    async fn list(&self, client: &Client, query: &Query) -> anyhow::Result<()> {
        let page = match self.order.all {
            true => every(client, query).await?,
            false => {
                client
                    .get::<Page>(&Path::api(["tunnels"]).with(query))
                    .await?
            }
        };
        self.audience.tell(&page.json, || {
            let Page { total, tunnels } = &page.value;
            match (tunnels.len(), *total) {
                (0, 0) => "there are none".to_owned(),
                (shown, total) if shown < total => format!(
                    "{}{} of {}: --limit N shows more, --all shows all",
                    table(tunnels),
                    count(shown),
                    count(total)
                ),
                _ => table(tunnels).to_string(),
            }
        })
    }
}

fn table(tunnels: &[Tunnel]) -> Table {
    let is_one_host = tunnels.windows(2).all(|pair| pair[0].host == pair[1].host);
    let columns = [
        Column::of_numbers("tunnel"),
        Column::of("client"),
        Column::of(if is_one_host { "path" } else { "asked for" }).that_gives_way(),
        Column::of("backend").that_gives_way(),
        Column::of_numbers("age"),
        Column::of_numbers("messages"),
        Column::of_numbers("bytes"),
        Column::of_numbers("trip"),
        Column::of(""),
    ];
    let mut table = Table::new(columns);
    for tunnel in tunnels {
        let host = if is_one_host { "" } else { &*tunnel.host };
        table.row(row(tunnel, host));
    }
    table
}

fn row(tunnel: &Tunnel, host: &str) -> [Cell; 9] {
    let messages = tunnel.client_messages + tunnel.backend_messages;
    let trip = tunnel.client_round_trip_seconds.map(round_trip);
    let closing = if tunnel.is_closing { "closing" } else { "" };
    [
        tunnel.id.to_string().into(),
        tunnel.client.to_string().into(),
        format!("{host}{}", tunnel.path).into(),
        (&*tunnel.backend).into(),
        short_span(tunnel.age_seconds).into(),
        count(messages).into(),
        bytes((tunnel.client_bytes + tunnel.backend_bytes) as f64).into(),
        trip.map_or(Cell::painted("–", FAINT), Cell::from),
        Cell::painted(closing, PASSING),
    ]
}
