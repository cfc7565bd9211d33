//! `longwire tunnels --follow`: tunnels as they come and go.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use longwire::admin::api::{Query, Tunnel};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::listing::every;
use crate::cli::{
    client::Client,
    speech::{
        Audience,
        paint::{BAD, GOOD, painted},
        say,
        words::{bytes, counted, plain, span},
    },
};

const LOOK: Duration = Duration::from_secs(1);

/// The tunnels of one look, with what the proxy has said of each.
type Known = BTreeMap<u64, (Tunnel, Value)>;

/// What has happened to a tunnel between two looks.
#[derive(Debug, Clone, Copy)]
enum Change {
    Opened,
    Ended,
}

/// Prints what opens and what ends, until it cannot look any more.
///
/// # Errors
/// When it cannot, or nobody reads it.
pub(super) async fn follow(
    client: &Client,
    query: &Query,
    audience: Audience,
) -> anyhow::Result<()> {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks.tick().await;
    let mut known = look(client, query).await?;
    loop {
        looks.tick().await;
        let now = look(client, query).await?;
        for (id, (tunnel, json)) in &known {
            if !now.contains_key(id) {
                tell(audience, Change::Ended, tunnel, json)?;
            }
        }
        for (id, (tunnel, json)) in &now {
            if !known.contains_key(id) {
                tell(audience, Change::Opened, tunnel, json)?;
            }
        }
        known = now;
    }
}

async fn look(client: &Client, query: &Query) -> anyhow::Result<Known> {
    let mut page = every(client, query).await?;
    let tunnels = page.value.tunnels.into_iter().enumerate();
    let known = tunnels.map(|(index, tunnel)| {
        let json = page.json["tunnels"][index].take();
        (tunnel.id, (tunnel, json))
    });
    Ok(known.collect())
}

/// Programs get a line each.
fn tell(audience: Audience, change: Change, tunnel: &Tunnel, json: &Value) -> anyhow::Result<()> {
    match audience.json {
        true => say(&json!({"event": change.word(), "tunnel": json}).to_string()),
        false => say(&change.line(tunnel)),
    }
}

impl Change {
    fn word(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Ended => "ended",
        }
    }

    fn line(self, tunnel: &Tunnel) -> String {
        let now = humantime::format_rfc3339_seconds(SystemTime::now());
        let from_to = format!(
            "{} {}{} to {}",
            tunnel.client,
            plain(&tunnel.host),
            plain(&tunnel.path),
            plain(&tunnel.backend)
        );
        match self {
            Self::Opened => {
                let word = painted(self.word(), GOOD);
                format!("{now} {word} {} {from_to}", tunnel.id)
            }
            Self::Ended => {
                let word = painted(self.word(), BAD);
                let messages = tunnel.client_messages + tunnel.backend_messages;
                let carried = tunnel.client_bytes + tunnel.backend_bytes;
                format!(
                    "{now} {word}  {} {from_to} after {}, {}, {}",
                    tunnel.id,
                    span(tunnel.age_seconds),
                    counted(messages as usize, "message"),
                    bytes(carried as f64)
                )
            }
        }
    }
}
