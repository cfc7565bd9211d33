//! What the running proxy is asked and told: a file for each command.

mod backend;
mod close;
mod closing;
mod follow;
mod listing;
mod process;
mod rebalance;
mod settings;
mod status;
mod tunnel;
mod tunnels;
mod which;

use clap::Subcommand;

pub(super) use self::status::word_of;
use self::{
    backend::{Drain, Maintenance, Ready},
    close::Close,
    process::{Health, Reload, Upgrade},
    rebalance::Rebalance,
    settings::{Configuration, LogLevel},
    status::Status,
    tunnels::Tunnels,
};
use super::top::Top;

/// What the running proxy is asked or told.
#[derive(Debug, Subcommand)]
pub(crate) enum Order {
    Status(Status),
    Tunnels(Box<Tunnels>),
    Top(Top),
    Close(Box<Close>),
    Drain(Drain),
    Ready(Ready),
    Maintenance(Maintenance),
    Rebalance(Rebalance),
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
            Self::Status(order) => order.carry_out().await,
            Self::Tunnels(order) => order.carry_out().await,
            Self::Top(order) => order.carry_out().await,
            Self::Close(order) => order.carry_out().await,
            Self::Drain(order) => order.carry_out().await,
            Self::Ready(order) => order.carry_out().await,
            Self::Maintenance(order) => order.carry_out().await,
            Self::Rebalance(order) => order.carry_out().await,
            Self::Log(order) => order.carry_out().await,
            Self::Config(order) => order.carry_out().await,
            Self::Reload(order) => order.carry_out().await,
            Self::Upgrade(order) => order.carry_out().await,
            Self::Health(order) => order.carry_out().await,
        }
    }
}
