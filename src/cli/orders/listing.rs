//! More tunnels than are told at a time.

use std::collections::HashSet;

use longwire::admin::api::{Page, Query, Tunnel};
use serde_json::{Value, json};

use crate::cli::client::{Answer, Client, Path};

/// As many as are told at a time.
const PAGE: usize = 1000;

/// Every tunnel that matches: page after page, each tunnel once, though they may come and go
/// meanwhile.
///
/// # Errors
/// If one of the pages cannot be had.
pub(super) async fn every(client: &Client, query: &Query) -> anyhow::Result<Answer<Page>> {
    every_while(client, query, |_| true).await
}

/// The same, up to the first one that `is_wanted` does not want.
pub(super) async fn every_while(
    client: &Client,
    query: &Query,
    is_wanted: impl Fn(&Tunnel) -> bool,
) -> anyhow::Result<Answer<Page>> {
    let mut known = HashSet::new();
    let mut tunnels = Vec::new();
    let mut texts = Vec::new();
    for offset in (0..).step_by(PAGE) {
        let query = Query {
            offset,
            limit: Some(PAGE),
            ..query.clone()
        };
        let page = client
            .get::<Page>(&Path::api(["tunnels"]).with(&query))
            .await?;
        let is_last = offset + PAGE >= page.value.total || page.value.tunnels.is_empty();
        let found = page.value.tunnels.into_iter().zip(texts_of(page.json));
        for (tunnel, text) in found {
            if !is_wanted(&tunnel) {
                return Ok(together(tunnels, &texts));
            }
            if known.insert(tunnel.id) {
                tunnels.push(tunnel);
                texts.push(text);
            }
        }
        if is_last {
            break;
        }
    }
    Ok(together(tunnels, &texts))
}

fn texts_of(mut page: Value) -> Vec<Value> {
    match page["tunnels"].take() {
        Value::Array(tunnels) => tunnels,
        _ => Vec::new(),
    }
}

fn together(tunnels: Vec<Tunnel>, texts: &[Value]) -> Answer<Page> {
    let total = tunnels.len();
    Answer {
        json: json!({"total": total, "tunnels": texts}),
        value: Page { total, tunnels },
    }
}
