//! Whether the proxy wants clients.

use serde::{Deserialize, Serialize};

/// Whether the proxy wants clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// It does.
    Ready,
    /// It is about to go, and they had better go elsewhere.
    Stopping,
}
