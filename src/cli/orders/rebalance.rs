//! `longwire rebalance`: tunnels move over to backends that have few.

use clap::Args;
use longwire::admin::api;

use super::which::or_names;
use crate::cli::{
    client::{Path, Reach},
    speech::Audience,
};

/// Start or stop moving a pool's tunnels over to backends that have few.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  longwire rebalance chat --start")]
pub(crate) struct Rebalance {
    /// The pool.
    #[arg(value_name = "POOL")]
    pool: String,

    #[command(flatten)]
    wish: Wish,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    audience: Audience,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Wish {
    /// Move tunnels from now on, a few at a time, as the pool's `rebalance` says.
    #[arg(long)]
    start: bool,

    /// Move no more.
    #[arg(long)]
    stop: bool,
}

impl Rebalance {
    pub(super) async fn carry_out(self) -> anyhow::Result<()> {
        let client = self.reach.client()?;
        let path = Path::api(["pools", &self.pool, "rebalance"]);
        let wish = api::Rebalance {
            running: self.wish.start,
        };
        let answer = client.post_with::<api::Pool>(&path, &wish).await;
        let answer = or_names(answer, &client, &self.pool, None).await?;
        self.audience.tell(&answer.json, || {
            let verdict = match answer.value.rebalance.is_running {
                true => "is rebalanced",
                false => "is not rebalanced",
            };
            format!("{} {verdict}", answer.value.name)
        })
    }
}
