//! What the operator's door tells in JSON, and what it does when it is told to.

mod closing;
mod events;
mod history;
mod log_level;
mod manners;
mod pools;
mod status;
mod tunnels;

use serde_json::Value;

use crate::support::Operator;

impl Operator {
    /// The numbers of the tunnels that match, as they are sorted.
    async fn ids(&self, query: &str) -> Vec<u64> {
        let page = self.get(&format!("tunnels?{query}")).await;
        let tunnels = page["tunnels"].as_array().unwrap().iter();
        tunnels
            .map(|tunnel| tunnel["id"].as_u64().unwrap())
            .collect()
    }

    /// The backend with that index, of the first pool.
    async fn backend(&self, index: usize) -> Value {
        let pools = self.get("pools").await;
        pools["pools"][0]["backends"][index].clone()
    }
}

/// A name as a part of a path.
fn encoded(name: &impl ToString) -> String {
    let name = name.to_string();
    name.replace('%', "%25")
        .replace(':', "%3A")
        .replace('/', "%2F")
}
