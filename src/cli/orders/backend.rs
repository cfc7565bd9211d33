//! `longwire drain`, `longwire ready` and `longwire maintenance`: what is wanted of a backend.

use clap::Args;
use longwire::admin::api::{Backend, Pool};

use super::which::{Which, or_names};
use crate::cli::{
    client::{Answer, Client, Path, Reach},
    speech::{
        Audience, Progress, Stage, mention,
        words::{counted, plain, span},
    },
};

/// Give a backend no more clients, and close its tunnels at the pace of its pool's `drain`.
///
/// It waits until the last tunnel is gone, and shows how far it is. Ctrl-C ends the waiting, not
/// the draining: only `longwire ready` does.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longwire drain chat/10.0.0.1:9001             and wait until nobody is left
  longwire drain chat/10.0.0.1:9001 --no-wait   say how long it takes, and go")]
pub(crate) struct Drain {
    #[command(flatten)]
    wish: Wish,

    /// Do not wait until the last tunnel is gone.
    #[arg(long)]
    no_wait: bool,
}

/// Let a backend have clients, whatever was wanted of it before.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  longwire ready chat/10.0.0.1:9001")]
pub(crate) struct Ready {
    #[command(flatten)]
    wish: Wish,
}

/// Give a backend nobody at all, and leave its tunnels alone.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  longwire maintenance chat/10.0.0.1:9001")]
pub(crate) struct Maintenance {
    #[command(flatten)]
    wish: Wish,
}

#[derive(Debug, Args)]
struct Wish {
    /// The backend, by the names in the file: chat/10.0.0.1:9001.
    #[arg(value_name = "POOL/BACKEND")]
    which: Which,

    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    audience: Audience,
}

impl Ready {
    pub(super) async fn carry_out(self) -> anyhow::Result<()> {
        self.wish.fulfil("ready").await
    }
}

impl Maintenance {
    pub(super) async fn carry_out(self) -> anyhow::Result<()> {
        self.wish.fulfil("maintenance").await
    }
}

impl Drain {
    pub(super) async fn carry_out(self) -> anyhow::Result<()> {
        let Wish {
            which,
            reach,
            audience,
        } = &self.wish;
        let client = reach.client()?;
        let begun = self.wish.make_known(&client, "drain").await?;
        if self.no_wait {
            let outlook = || outlook(which, &begun.value);
            return audience.tell(&begun.json, outlook);
        }
        if tunnels_left(&begun.value).left > 0 {
            mention(&outlook(which, &begun.value));
        }
        let (total, last) = until_drained(&client, which, begun).await?;
        audience.tell(&last.json, || match total {
            0 => format!("{} is drained: it had no tunnels", which.backend),
            _ => format!(
                "{} is drained: {} closed",
                which.backend,
                counted(total, "tunnel")
            ),
        })
    }
}

impl Wish {
    async fn fulfil(self, intent: &str) -> anyhow::Result<()> {
        let client = self.reach.client()?;
        let answer = self.make_known(&client, intent).await?;
        self.audience.tell(&answer.json, || verdict(&answer.value))
    }

    async fn make_known(&self, client: &Client, what: &str) -> anyhow::Result<Answer<Backend>> {
        let Which { pool, backend } = &self.which;
        let answer = client.post(&self.which.path(what)).await;
        or_names(answer, client, pool, Some(backend)).await
    }
}

/// What a backend is now that something else is wanted of it.
fn verdict(backend: &Backend) -> String {
    let Backend {
        name,
        state,
        intent,
        ..
    } = backend;
    let [is, is_to_be] = [state, intent].map(|word| match &**word {
        "maintenance" => "in maintenance".to_owned(),
        word => plain(word),
    });
    if state == intent {
        let tunnels = counted(backend.tunnels, "tunnel");
        return format!("{name} is {is}, with {tunnels}");
    }
    let reason = match (&backend.ejected, &backend.checks) {
        (Some(ejected), _) => {
            let left = span(ejected.seconds_left);
            format!(" for {left} more: {}", ejected.reason)
        }
        (None, Some(checks)) if state == "down" => {
            let failure = checks.last_failure.as_deref();
            failure.map_or(String::new(), |failure| format!(": {failure}"))
        }
        _ => String::new(),
    };
    format!("{name} is to be {is_to_be}, and is {is}{}", plain(&reason))
}

/// How long it takes to drain it.
fn outlook(which: &Which, backend: &Backend) -> String {
    let stage = tunnels_left(backend);
    let tunnels = counted(stage.left, "tunnel");
    format!("{} drains: {tunnels}, {}", which.backend, stage.outlook())
}

fn tunnels_left(backend: &Backend) -> Stage {
    match backend.drain {
        Some(draining) => Stage::from(draining),
        None => Stage::waiting_for(backend.tunnels),
    }
}

/// Waits until the last tunnel is gone. Gives how many there were, and what is said of the backend
/// then.
async fn until_drained(
    client: &Client,
    which: &Which,
    begun: Answer<Backend>,
) -> anyhow::Result<(usize, Answer<Backend>)> {
    let stage = tunnels_left(&begun.value);
    let mut last = begun;
    let total = Progress::until_none_is_left(&which.backend, stage, async || {
        last = look(client, which).await?;
        anyhow::ensure!(
            last.value.intent == "draining",
            "{} drains no more: somebody wants it to be {}",
            which.backend,
            last.value.intent
        );
        Ok(tunnels_left(&last.value))
    });
    let total = total.await?;
    Ok((total, last))
}

async fn look(client: &Client, which: &Which) -> anyhow::Result<Answer<Backend>> {
    let path = Path::api(["pools", &which.pool]);
    let pool = client.get::<Pool>(&path).await?;
    let backends = pool.value.backends.into_iter();
    let found = backends
        .enumerate()
        .find(|(_, backend)| backend.name == which.backend);
    let Some((index, value)) = found else {
        anyhow::bail!("{} is no backend of {} any more", which.backend, which.pool);
    };
    let json = pool.json["backends"][index].clone();
    Ok(Answer { value, json })
}
