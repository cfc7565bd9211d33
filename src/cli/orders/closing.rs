//! The closing of tunnels, until they have ended.

use http::StatusCode;
use longwire::admin::api::{CloseOne, CloseSome, Closing};
use serde_json::{Value, json};

use crate::cli::{
    client::{Answer, Client, Path, Refusal},
    speech::{Audience, Progress, Stage, mention, words::counted},
};

/// What was begun: one closing for a set, or one for each tunnel that was named.
#[derive(Debug)]
pub(super) struct Closings {
    answers: Vec<Answer<Closing>>,
    is_set: bool,
    /// Tunnels that were named, but are not there.
    missing: Vec<u64>,
}

/// Begins to close a set of tunnels.
///
/// # Errors
/// If the proxy refuses.
pub(super) async fn close_set(client: &Client, order: &CloseSome) -> anyhow::Result<Closings> {
    let path = Path::api(["tunnels", "close"]);
    Ok(Closings {
        answers: vec![client.post_with(&path, order).await?],
        is_set: true,
        missing: Vec::new(),
    })
}

/// Begins to close tunnels by their numbers. One that is not there keeps none of the others from
/// being closed.
///
/// # Errors
/// If the proxy refuses for another reason.
pub(super) async fn close_each(
    client: &Client,
    ids: &[u64],
    farewell: &CloseOne,
) -> anyhow::Result<Closings> {
    let mut closings = Closings {
        answers: Vec::new(),
        is_set: false,
        missing: Vec::new(),
    };
    for id in ids {
        let path = Path::api(["tunnels", &id.to_string(), "close"]);
        match client.post_with(&path, farewell).await {
            Ok(answer) => closings.answers.push(answer),
            Err(error) if is_missing(&error) => closings.missing.push(*id),
            Err(error) => return Err(error),
        }
    }
    Ok(closings)
}

fn is_missing(error: &anyhow::Error) -> bool {
    let refusal = error.downcast_ref::<Refusal>();
    refusal.is_some_and(|refusal| refusal.status == StatusCode::NOT_FOUND)
}

impl Closings {
    /// Waits until all tunnels have ended.
    ///
    /// # Errors
    /// If the proxy cannot be asked any more how far it is.
    pub(super) async fn watch(mut self, client: &Client) -> anyhow::Result<Self> {
        let stage = self.stage();
        if stage.left > 0 && self.is_set {
            mention(&format!(
                "closing {}, {}",
                counted(stage.left, "tunnel"),
                stage.outlook()
            ));
        }
        let looks = Progress::until_none_is_left("closing", stage, async || {
            for answer in &mut self.answers {
                if answer.value.left > 0 {
                    let path = Path::api(["closings", &answer.value.id.to_string()]);
                    *answer = client.get(&path).await?;
                }
            }
            Ok(self.stage())
        });
        looks.await?;
        Ok(self)
    }

    /// Says how far it is, to whoever does not wait.
    ///
    /// # Errors
    /// If a tunnel that was named is not there.
    pub(super) fn tell_how_far(self, audience: Audience) -> anyhow::Result<()> {
        let stage = self.stage();
        self.tell(audience, || {
            format!(
                "closing {}, {}",
                counted(stage.total, "tunnel"),
                stage.outlook()
            )
        })
    }

    /// Says that all have ended.
    ///
    /// # Errors
    /// As [`tell_how_far`](Self::tell_how_far).
    pub(super) fn tell_the_end(self, audience: Audience) -> anyhow::Result<()> {
        let total = self.stage().total;
        self.tell(audience, || match total {
            0 => "there were none to close".to_owned(),
            _ => format!("{} closed", counted(total, "tunnel")),
        })
    }

    fn tell(self, audience: Audience, words: impl FnOnce() -> String) -> anyhow::Result<()> {
        if !self.answers.is_empty() {
            audience.tell(&self.json(), words)?;
        }
        match &*self.missing {
            [] => Ok(()),
            [id] => anyhow::bail!("there is no tunnel {id}"),
            ids => {
                let ids: Vec<_> = ids.iter().map(u64::to_string).collect();
                anyhow::bail!("there are no tunnels {}", ids.join(", "))
            }
        }
    }

    /// The one answer, or a list of them where tunnels were named.
    fn json(&self) -> Value {
        let answers: Vec<_> = self.answers.iter().map(|answer| &answer.json).collect();
        match &*answers {
            [only] => (*only).clone(),
            all => json!(all),
        }
    }

    fn stage(&self) -> Stage {
        let stages = self.answers.iter().map(|answer| Stage::from(answer.value));
        stages.reduce(|one, other| one + other).unwrap_or_default()
    }
}
