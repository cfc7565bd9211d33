//! How tunnels end, as it is counted.

use crate::{tunnel::TunnelEnd, websocket::CloseCode};

/// How a tunnel has ended, as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ending {
    /// Who ended it.
    pub by: &'static str,
    /// Why.
    pub cause: &'static str,
    /// The code of the first Close, or what stands for it.
    pub code: &'static str,
}

impl Ending {
    /// That of a tunnel that has ended so.
    #[must_use]
    pub fn of(end: TunnelEnd) -> Self {
        Self {
            by: end.by.name(),
            cause: end.cause.name(),
            code: end.code.map_or("none", code_name),
        }
    }
}

/// What stands for a code: its number if it has a meaning that is registered, and else the range
/// that it is in, as peers may send any.
fn code_name(code: CloseCode) -> &'static str {
    const REGISTERED: [(u16, &str); 13] = [
        (1000, "1000"),
        (1001, "1001"),
        (1002, "1002"),
        (1003, "1003"),
        (1007, "1007"),
        (1008, "1008"),
        (1009, "1009"),
        (1010, "1010"),
        (1011, "1011"),
        (1012, "1012"),
        (1013, "1013"),
        (1014, "1014"),
        (3000, "3000"),
    ];
    let registered = REGISTERED.iter().find(|(number, _)| *number == code.0);
    match (registered, code.0) {
        (Some((_, name)), _) => name,
        (None, 3000..=3999) => "3xxx",
        (None, 4000..=4999) => "4xxx",
        (None, _) => "other",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::tunnel::{Cause, Party};

    fn ending(code: Option<u16>) -> Ending {
        Ending::of(TunnelEnd {
            by: Party::Client,
            cause: Cause::Close,
            code: code.map(CloseCode),
        })
    }

    #[test]
    fn a_client_that_closes_with_any_number_makes_few_kinds_of_ends() {
        let kinds: HashSet<_> = (0..=u16::MAX).map(|code| ending(Some(code)).code).collect();
        assert_eq!(kinds.len(), 16, "{kinds:?}");
        assert_eq!(ending(Some(1_001)).code, "1001");
        assert_eq!(ending(Some(4_321)).code, "4xxx");
        assert_eq!(ending(Some(1_006)).code, "other");
        assert_eq!(ending(None).code, "none");
    }
}
