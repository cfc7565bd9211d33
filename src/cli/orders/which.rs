//! Which pool and which backend: as they are written, and what there is when there is none of that
//! name.

use std::str::FromStr;

use anyhow::{anyhow, bail};
use http::StatusCode;
use longwire::admin::api::Pools;

use crate::cli::client::{Answer, Client, Path, Refusal};

/// How alike two names have to be for one to be meant by the other.
const ALIKE: f64 = 0.8;

/// A backend of a pool: POOL/BACKEND.
#[derive(Debug, Clone)]
pub(super) struct Which {
    pub(super) pool: String,
    pub(super) backend: String,
}

impl Which {
    /// What is done to it, or asked of it.
    pub(super) fn path(&self, what: &str) -> Path {
        Path::api(["pools", &self.pool, "backends", &self.backend, what])
    }
}

impl FromStr for Which {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text.split_once('/') {
            Some((pool, backend)) if !pool.is_empty() && !backend.is_empty() => Ok(Self {
                pool: pool.to_owned(),
                backend: backend.to_owned(),
            }),
            _ => bail!("write the pool and the backend, as chat/10.0.0.1:9001"),
        }
    }
}

/// `answer`, or, if there is no such pool or backend, which ones there are.
///
/// # Errors
/// Those of the answer.
pub(super) async fn or_names<T>(
    answer: anyhow::Result<Answer<T>>,
    client: &Client,
    pool: &str,
    backend: Option<&str>,
) -> anyhow::Result<Answer<T>> {
    let error = match answer {
        Ok(answer) => return Ok(answer),
        Err(error) => error,
    };
    let refusal = error.downcast_ref::<Refusal>();
    if refusal.is_none_or(|refusal| refusal.status != StatusCode::NOT_FOUND) {
        return Err(error);
    }
    let pools = client.get::<Pools>(&Path::api(["pools"])).await?.value;
    Err(missing(&pools, pool, backend).map_or(error, |words| anyhow!(words)))
}

/// What is wrong with the names, and what would be right.
fn missing(pools: &Pools, pool: &str, backend: Option<&str>) -> Option<String> {
    let Some(found) = pools.pools.iter().find(|found| found.name == pool) else {
        let names: Vec<_> = pools.pools.iter().map(|pool| &*pool.name).collect();
        return Some(there_is_none("pool", pool, "there are", &names));
    };
    let backend = backend?;
    let names: Vec<_> = found
        .backends
        .iter()
        .map(|backend| &*backend.name)
        .collect();
    let of_pool = format!("{pool} has");
    (!names.contains(&backend)).then(|| there_is_none("backend", backend, &of_pool, &names))
}

fn there_is_none(kind: &str, name: &str, there_are: &str, names: &[&str]) -> String {
    let advice = match nearest(name, names) {
        Some(nearest) => format!("\nIs {nearest} meant?"),
        None => String::new(),
    };
    let names = match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    format!("there is no {kind} {name}; {there_are} {names}{advice}")
}

fn nearest<'a>(name: &str, names: &[&'a str]) -> Option<&'a str> {
    let alike = names
        .iter()
        .map(|other| (strsim::jaro_winkler(name, other), *other));
    let nearest = alike.max_by(|(one, _), (other, _)| one.total_cmp(other));
    nearest
        .filter(|(alike, _)| *alike >= ALIKE)
        .map(|(_, name)| name)
}
