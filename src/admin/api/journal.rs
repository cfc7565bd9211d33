//! What has happened.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Something that an operator wants to know of: a backend went down, a configuration was refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number: one more than that of the entry before.
    pub id: u64,
    /// When it has happened.
    pub at: f64,
    /// `info`, `warn` or `error`.
    pub level: String,
    /// What, as the log says it.
    pub message: String,
    /// The rest of the log's line: `pool`, `backend`, `reason` …
    pub fields: BTreeMap<String, String>,
}
