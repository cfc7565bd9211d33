//! `longwire config` and `longwire log`: what the running proxy goes by.

use clap::Args;
use longwire::admin::api;

use crate::cli::{
    client::{Path, Reach},
    speech::Audience,
};

/// Show the configuration in force, as it was read, without its secrets.
#[derive(Debug, Args)]
pub(crate) struct Configuration {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    audience: Audience,
}

/// Show what is logged, or log something else until the next reload.
#[derive(Debug, Args)]
pub(crate) struct LogLevel {
    /// What to log, as in `log.level`: warn, or info,longwire::pool=debug.
    #[arg(value_name = "LEVEL")]
    level: Option<String>,

    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    audience: Audience,
}

impl Configuration {
    pub(super) async fn carry_out(self) -> anyhow::Result<()> {
        let client = self.reach.client()?;
        let answer = client
            .get::<api::ConfigText>(&Path::api(["config"]))
            .await?;
        self.audience.tell(&answer.json, || answer.value.text)
    }
}

impl LogLevel {
    pub(super) async fn carry_out(self) -> anyhow::Result<()> {
        let client = self.reach.client()?;
        let path = Path::api(["log"]);
        let answer = match self.level {
            None => client.get::<api::LogLevel>(&path).await?,
            Some(level) => client.put(&path, &api::LogLevel { level }).await?,
        };
        self.audience.tell(&answer.json, || answer.value.level)
    }
}
