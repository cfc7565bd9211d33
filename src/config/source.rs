//! What a configuration was read from.

use std::{fmt, time::SystemTime};

use super::redact::redacted;

/// What a configuration was read from, as it may be shown to those who look after the proxy. Its
/// `Debug` does not show the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    /// What diagnostics call it: the path of the file, where there is one.
    pub origin: String,
    /// The text, with an asterisk for each byte of a secret.
    pub text: String,
    /// When it was read.
    pub read_at: SystemTime,
}

impl Source {
    pub(super) fn now(origin: &str, text: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            text: redacted(text),
            read_at: SystemTime::now(),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Config;

    #[test]
    fn a_configuration_keeps_the_text_that_it_was_read_from_but_no_secret() {
        let text = "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npool = \"a\"\n[pool.a]\n\
                    backends = [\"127.0.0.1:1\"]\n\
                    affinity = { by = \"cookie\", secret = \"0123456789abcdef0123456789abcdef\" }";
        let config = Config::parse(text, "proxy.toml", Path::new("")).unwrap();
        assert_eq!(config.source.origin, "proxy.toml");
        let shown = text.replace("0123456789abcdef0123456789abcdef", &"*".repeat(32));
        assert_eq!(config.source.text, shown);
    }
}
