//! `longwire reload`, `longwire upgrade` and `longwire health`: the process as a whole.

use clap::Args;
use longwire::admin::api::Done;

use crate::cli::{
    client::{Path, Reach},
    speech::{Audience, say},
};

/// Have the running proxy read its configuration file again: all of it, or nothing.
#[derive(Debug, Args)]
pub(crate) struct Reload {
    #[command(flatten)]
    command: Command,
}

/// Have the program, as it lies there now, take over from the running proxy.
#[derive(Debug, Args)]
pub(crate) struct Upgrade {
    #[command(flatten)]
    command: Command,
}

/// Ask the running proxy whether it is ready: a health check for containers.
#[derive(Debug, Args)]
pub(crate) struct Health {
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Args)]
struct Command {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    audience: Audience,
}

impl Reload {
    pub(super) async fn carry_out(self) -> anyhow::Result<()> {
        self.command.have_done("reload").await
    }
}

impl Upgrade {
    pub(super) async fn carry_out(self) -> anyhow::Result<()> {
        self.command.have_done("upgrade").await
    }
}

impl Health {
    pub(super) async fn carry_out(self) -> anyhow::Result<()> {
        say(&self.reach.client()?.health().await?)
    }
}

impl Command {
    async fn have_done(self, what: &str) -> anyhow::Result<()> {
        let client = self.reach.client()?;
        let answer = client.await_post::<Done>(&Path::api([what])).await?;
        self.audience.tell(&answer.json, || answer.value.done)
    }
}
