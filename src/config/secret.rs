//! What only two sides know: `secret`, with which affinity cookies are signed, and `token`, which lets
//! operators in. Each stands in the file, in a file of its own (`…_file`), or in a variable (`…_env`).

use std::{env::VarError, fmt, fs};

use super::{
    diagnostics::Problem,
    field::Field,
    reading::Reported,
    section::Section,
    values::{non_empty, text},
};

/// The fewest characters of a secret.
const SHORTEST: usize = 16;

/// The key that affinity cookies are signed with. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    key: [u8; 32],
    random: bool,
}

impl Secret {
    /// The key made of a configured secret.
    #[must_use]
    pub fn configured(secret: &str) -> Self {
        let key = blake3::derive_key("longwire affinity cookie v1", secret.as_bytes());
        Self { key, random: false }
    }

    /// A key that no other process has.
    #[must_use]
    pub fn random() -> Self {
        Self {
            key: rand::random(),
            random: true,
        }
    }

    /// The random key of another process that this one takes over from.
    #[must_use]
    pub fn found(key: [u8; 32]) -> Self {
        Self { key, random: true }
    }

    /// The key itself.
    #[must_use]
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// Whether nobody configured it, so that it is gone with the process.
    #[must_use]
    pub fn is_random(&self) -> bool {
        self.random
    }

    /// The one that `section` gives in one of three ways, or a random one.
    pub(super) fn read(section: &Section<'_>) -> Self {
        let given = given(section, &SECRET).unwrap_or_default();
        given.map_or_else(Self::random, |secret| Self::configured(&secret))
    }
}

/// What an operator shows to be let in. It is kept as a hash alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(blake3::Hash);

impl Token {
    /// The one that is written so.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self(blake3::hash(token.as_bytes()))
    }

    /// Whether it is that one. How long that takes says nothing of it.
    #[must_use]
    pub fn is(&self, shown: &str) -> bool {
        // Hashes are compared in constant time.
        self.0 == blake3::hash(shown.as_bytes())
    }

    /// The one that `section` gives in one of three ways, if it does.
    pub(super) fn read(section: &Section<'_>) -> Result<Option<Self>, Reported> {
        let given = given(section, &TOKEN)?;
        Ok(given.map(|token| Self::new(&token)))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}

/// What a secret is called in the file, and what becomes of one that is too short.
struct Kind {
    name: &'static str,
    keys: [&'static str; 3],
    danger: &'static str,
}

static SECRET: Kind = Kind {
    name: "secret",
    keys: ["secret", "secret_file", "secret_env"],
    danger: "whoever guesses it can forge cookies that choose the backend",
};

static TOKEN: Kind = Kind {
    name: "token",
    keys: ["token", "token_file", "token_env"],
    danger: "whoever guesses it can close every tunnel",
};

/// The secret of that kind that `section` gives in one of three ways.
fn given(section: &Section<'_>, kind: &Kind) -> Result<Option<String>, Reported> {
    let sources = [Source::Text, Source::File, Source::Variable];
    let sources = kind.keys.into_iter().zip(sources);
    let given: Vec<_> = sources
        .filter_map(|(key, source)| Some((section.field(key)?, source)))
        .collect();
    if let [(first, _), rest @ ..] = &*given {
        for (second, _) in rest {
            refuse_second(kind, first, second);
        }
    }
    let mut secrets = given
        .iter()
        .map(|(field, source)| source.secret(kind, field));
    secrets.next_back().transpose()
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("random", &self.random)
            .finish_non_exhaustive()
    }
}

fn refuse_second(kind: &Kind, first: &Field<'_>, second: &Field<'_>) {
    let (name, [text, file, variable]) = (kind.name, kind.keys);
    let problem = Problem::at(
        second.key_place.clone(),
        format!("the {name} is given twice"),
    )
    .expecting(format!("expected one of `{text}`, `{file}`, `{variable}`"))
    .beside(first.key_place.clone(), "first given here");
    second.report(problem);
}

/// Where a secret is.
#[derive(Debug, Clone, Copy)]
enum Source {
    Text,
    File,
    Variable,
}

impl Source {
    fn secret(self, kind: &Kind, field: &Field<'_>) -> Result<String, Reported> {
        let secret = match self {
            Self::Text => text(field, "a string of at least 16 characters")?.to_owned(),
            Self::File => from_file(field)?,
            Self::Variable => from_variable(field)?,
        };
        // The key is marked, never the value.
        if secret.chars().count() < SHORTEST {
            let message = format!("the {} is too short", kind.name);
            let problem = Problem::at(field.key_place.clone(), message)
                .expecting(format!("expected at least {SHORTEST} characters"))
                .helping(format!(
                    "{}; `openssl rand -base64 32` makes a good one",
                    kind.danger
                ));
            return Err(field.report(problem));
        }
        Ok(secret)
    }
}

fn from_file(field: &Field<'_>) -> Result<String, Reported> {
    let path = field.resolve(non_empty(field, "the path of a file")?);
    let content = fs::read_to_string(&path).map_err(|error| {
        let message = format!("cannot read {}: {error}", path.display());
        field.fault(message, "expected a file with the secret in it")
    })?;
    // Editors and `echo` end a file with a newline.
    let secret = content.strip_suffix('\n').unwrap_or(&content);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() {
        let message = format!("{} is empty", path.display());
        return Err(field.fault(message, "expected a file with the secret in it"));
    }
    Ok(secret.to_owned())
}

fn from_variable(field: &Field<'_>) -> Result<String, Reported> {
    let expected = "the name of an environment variable";
    let name = non_empty(field, expected)?;
    (field.reading.surroundings.variable)(name).map_err(|error| {
        let why = match error {
            VarError::NotPresent => "not set",
            VarError::NotUnicode(_) => "not Unicode",
        };
        let name = name.escape_debug();
        let message = format!("the environment variable `{name}` is {why}");
        field.fault(message, "expected the name of one with the secret in it")
    })
}
