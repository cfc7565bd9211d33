//! `longwire close`: one tunnel, some, or all of a kind.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    net::IpAddr,
    time::Duration,
};

use anyhow::bail;
use clap::{
    ArgGroup, Args,
    error::{Error, ErrorKind},
};
use longwire::admin::api::{CloseOne, CloseSome, Page, Query, Sort};

use super::{
    closing::{close_each, close_set},
    listing::every_while,
};
use crate::cli::{
    client::{Client, Path, Reach},
    speech::{Audience, words::counted},
};

/// What says which tunnels are meant.
const WHICH: [&str; 7] = [
    "ids",
    "route",
    "pool",
    "backend",
    "client",
    "older_than",
    "all",
];

/// Close tunnels: by their numbers, or all that match.
///
/// Both sides get a Close between two frames. It waits until all have ended, and shows how far it
/// is; Ctrl-C ends the waiting, not the closing. Before it closes more than you have named it asks,
/// if it can.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).multiple(true).args(WHICH))]
#[command(after_help = "\
Examples:
  longwire close 17 18 --reason \"come back, please\"
  longwire close --pool chat --older-than 24h --over 10m --code 1012
  longwire close --all --yes --no-wait")]
pub(crate) struct Close {
    /// The numbers of the tunnels, as `longwire tunnels` shows them.
    #[arg(value_name = "NUMBER", conflicts_with_all = ["set", "pace"])]
    ids: Vec<u64>,

    #[command(flatten)]
    set: Set,
    #[command(flatten)]
    pace: Pace,

    /// The code of the Close. [default: 1001, going away]
    #[arg(long)]
    code: Option<u16>,

    /// The reason in the Close, of at most 123 bytes.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    /// Do not wait until they have ended.
    #[arg(long)]
    no_wait: bool,

    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    audience: Audience,
}

/// Which tunnels: those of which all is true that is said.
#[derive(Debug, Args)]
#[group(id = "set", multiple = true)]
struct Set {
    /// Those that came by this route.
    #[arg(long)]
    route: Option<String>,

    /// Those of this pool.
    #[arg(long)]
    pool: Option<String>,

    /// Those of this backend.
    #[arg(long)]
    backend: Option<String>,

    /// Those of clients with this address.
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,

    /// Those that have been open for so long: 24h.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    older_than: Option<Duration>,

    /// Every tunnel there is.
    #[arg(long, conflicts_with_all = ["route", "pool", "backend", "client", "older_than"])]
    all: bool,
}

#[derive(Debug, Args)]
#[group(id = "pace", multiple = true)]
struct Pace {
    /// Tell them one after the other over this time, instead of all at once: 60s.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    over: Option<Duration>,

    /// Do not ask first.
    #[arg(long)]
    yes: bool,
}

impl Close {
    pub(super) async fn carry_out(self) -> anyhow::Result<()> {
        let client = self.reach.client()?;
        let closings = if self.ids.is_empty() {
            self.ask_first(&client).await?;
            close_set(&client, &self.order()).await?
        } else {
            close_each(&client, &self.ids, &self.farewell()).await?
        };
        if self.no_wait {
            return closings.tell_how_far(self.audience);
        }
        let ended = closings.watch(&client).await?;
        ended.tell_the_end(self.audience)
    }

    fn farewell(&self) -> CloseOne {
        CloseOne {
            code: self.code,
            reason: self.reason.clone(),
        }
    }

    fn order(&self) -> CloseSome {
        let Set {
            route,
            pool,
            backend,
            client,
            older_than,
            all,
        } = &self.set;
        CloseSome {
            route: route.clone(),
            pool: pool.clone(),
            backend: backend.clone(),
            client: *client,
            older_than_seconds: older_than.map(|age| age.as_secs_f64()),
            all: *all,
            code: self.code,
            reason: self.reason.clone(),
            over_seconds: self.pace.over.map(|over| over.as_secs_f64()),
        }
    }

    /// Goes on if the user is sure.
    async fn ask_first(&self, client: &Client) -> anyhow::Result<()> {
        if self.pace.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            let message = "nobody can be asked here whether to close them: say --yes\n\n\
                           For more information, try '--help'.\n";
            let error: Error = Error::raw(ErrorKind::MissingRequiredArgument, message);
            return Err(error.into());
        }
        let over = match self.pace.over {
            Some(over) => format!(" over {}", humantime::format_duration(over)),
            None => " at once".to_owned(),
        };
        let question = format!("close {}{over}? [y/N] ", self.set.described(client).await?);
        if !is_granted(&question)? {
            bail!("nothing is closed");
        }
        Ok(())
    }
}

impl Set {
    /// How many tunnels it has, and which.
    async fn described(&self, client: &Client) -> anyhow::Result<String> {
        let tunnels = counted(self.count(client).await?, "tunnel");
        if self.all {
            return Ok(format!("{tunnels}, all there are,"));
        }
        let address = self.client.map(|address| address.to_string());
        let ofs = [
            (" of pool ", &self.pool),
            (" of route ", &self.route),
            (" of backend ", &self.backend),
            (" of client ", &address),
        ];
        let ofs = ofs
            .iter()
            .filter_map(|(of, name)| Some(format!("{of}{}", name.as_ref()?)));
        let age = self.older_than;
        let age = age.map(|age| format!(" older than {}", humantime::format_duration(age)));
        Ok(tunnels + &ofs.chain(age).collect::<String>())
    }

    async fn count(&self, client: &Client) -> anyhow::Result<usize> {
        let query = Query {
            route: self.route.clone(),
            pool: self.pool.clone(),
            backend: self.backend.clone(),
            client: self.client,
            sort: Sort::Age,
            descending: true,
            limit: Some(1),
            ..Query::default()
        };
        let page = match self.older_than {
            Some(age) => {
                let is_old = |seconds| seconds >= age.as_secs_f64();
                every_while(client, &query, |tunnel| is_old(tunnel.age_seconds)).await?
            }
            None => {
                client
                    .get::<Page>(&Path::api(["tunnels"]).with(&query))
                    .await?
            }
        };
        Ok(page.value.total)
    }
}

fn is_granted(question: &str) -> io::Result<bool> {
    let mut stderr = io::stderr().lock();
    stderr.write_all(question.as_bytes())?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
