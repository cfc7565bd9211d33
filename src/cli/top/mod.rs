//! `longwire top`: the running proxy, second by second.

mod feed;
mod keys;
mod screen;
mod state;
mod view;

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use anyhow::bail;
use clap::Args;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    client::{Client, Reach},
    speech::say,
};

/// How often it looks.
const LOOK: Duration = Duration::from_secs(1);

/// Watch the running proxy on the whole screen: tunnels, rates, pools, and who talks most.
///
/// It fits into any terminal: in a small one it shows what matters most, and Tab the rest. The key
/// ? names the others. If the proxy is lost it says so, and finds it again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longwire top
  longwire top --json | jq .sample.tunnels")]
pub(crate) struct Top {
    /// Print a line of JSON each second instead: {\"status\", \"pools\", \"sample\"}, as
    /// docs/admin.md says.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    reach: Reach,
}

impl Top {
    pub(crate) async fn carry_out(self) -> anyhow::Result<()> {
        let client = self.reach.client()?;
        if self.json {
            return print(&client).await;
        }
        if !io::stdout().is_terminal() {
            bail!("this needs a terminal; `longwire top --json` prints a line each second instead");
        }
        screen::show(client).await
    }
}

async fn print(client: &Client) -> anyhow::Result<()> {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        say(&feed::now(client).await?.to_string())?;
    }
}
