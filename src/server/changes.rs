//! What a reload has changed, in words.

use std::fmt;

/// What a reload has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    pub(super) listeners: Count,
    pub(super) routes: Count,
    pub(super) pools: Count,
    /// Keys whose new values only another process can have.
    pub(super) left: Vec<&'static str>,
}

/// How many there are now, and what has become of those that were there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Count {
    pub(super) all: usize,
    pub(super) added: usize,
    pub(super) changed: usize,
    pub(super) removed: usize,
}

impl Count {
    /// So many, all of them as they were.
    pub(super) fn of(all: usize) -> Self {
        Self {
            all,
            ..Self::default()
        }
    }

    fn of_what(self, what: &str) -> String {
        let parts = [
            (self.added, "added"),
            (self.changed, "changed"),
            (self.removed, "removed"),
        ];
        let parts = parts.iter().filter(|(count, _)| *count > 0);
        let parts: Vec<_> = parts
            .map(|(count, fate)| format!("{count} {fate}"))
            .collect();
        match &*parts {
            [] => format!("{} {what}", self.all),
            _ => format!("{} {what} ({})", self.all, parts.join(", ")),
        }
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            self.listeners.of_what("listeners"),
            self.routes.of_what("routes"),
            self.pools.of_what("pools"),
        ];
        f.write_str(&counts.join(", "))?;
        if self.left.is_empty() {
            return Ok(());
        }
        let keys = self.left.join(" and ");
        write!(f, "; {keys} changes only with a restart or an upgrade")
    }
}
