//! Colours, of which each says one thing.

use anstyle::{AnsiColor, Style};

/// What stands out: names, headings.
pub(crate) const BOLD: Style = Style::new().bold();
/// What matters less.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// As it should be.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Not for ever.
pub(crate) const PASSING: Style = AnsiColor::Yellow.on_default();
/// Not as it should be.
pub(crate) const BAD: Style = AnsiColor::Red.on_default();

/// What the state of a backend, or the readiness of the proxy, looks like.
pub(crate) fn of_state(state: &str) -> Style {
    match state {
        "ready" => GOOD,
        "draining" | "maintenance" | "stopping" => PASSING,
        "ejected" | "down" => BAD,
        _ => Style::new(),
    }
}

/// `text` in a style.
pub(crate) fn painted(text: &str, style: Style) -> String {
    format!("{style}{text}{style:#}")
}
