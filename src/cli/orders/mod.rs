//! What the running proxy is asked and told: a file for each command.

mod process;
mod settings;

use clap::Subcommand;

use self::{
    process::{Health, Reload, Upgrade},
    settings::{Configuration, LogLevel},
};

/// What the running proxy is asked or told.
#[derive(Debug, Subcommand)]
pub(crate) enum Order {
    Log(LogLevel),
    Config(Configuration),
    Reload(Reload),
    Upgrade(Upgrade),
    Health(Health),
}

impl Order {
    /// Asks, or tells, and says what came of it.
    ///
    /// # Errors
    /// If the proxy refuses, or there is none.
    pub(crate) async fn carry_out(self) -> anyhow::Result<()> {
        match self {
            Self::Log(order) => order.carry_out().await,
            Self::Config(order) => order.carry_out().await,
            Self::Reload(order) => order.carry_out().await,
            Self::Upgrade(order) => order.carry_out().await,
            Self::Health(order) => order.carry_out().await,
        }
    }
}
