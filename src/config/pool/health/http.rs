//! `check = "http"`

use std::fmt;

use toml::de::DeValue;

use super::Question;
use crate::config::{
    field::Field,
    reading::Reported,
    section::Section,
    values::{integer, non_empty, text},
};

/// A backend works that answers a request in this way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCheck {
    /// What it is asked.
    pub question: Question,
    /// The statuses that it may answer with. Default: 200 to 399.
    pub status: Statuses,
    /// What the first 64 KiB of its answer's body must contain.
    pub body: Option<String>,
}

/// Statuses from one to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statuses {
    first: u16,
    last: u16,
}

const A_STATUS: &str = "a status such as 200, or a range such as \"200-399\"";

impl HttpCheck {
    pub(super) fn read(section: &Section<'_>) -> Result<Self, Reported> {
        let question = Question::read(section);
        let status = section.or("status", Statuses::read, Statuses::WELL);
        let expected = "what the answer must contain, such as \"ok\"";
        let body = section.optional("body", |field| {
            non_empty(field, expected).map(str::to_owned)
        });
        Ok(Self {
            question: question?,
            status,
            body: body?,
        })
    }
}

impl Statuses {
    /// Those of a backend that is well: nothing is wrong with the request or with itself.
    pub const WELL: Self = Self {
        first: 200,
        last: 399,
    };

    /// One alone.
    #[must_use]
    pub fn only(status: u16) -> Self {
        Self {
            first: status,
            last: status,
        }
    }

    /// Whether `status` is one of them.
    #[must_use]
    pub fn contains(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }

    fn read(field: &Field<'_>) -> Result<Self, Reported> {
        if let DeValue::Integer(_) = *field.literal()? {
            // The range fits.
            let status = integer(field, 200..=599)?;
            return Ok(Self::only(u16::try_from(status).unwrap_or(200)));
        }
        let written = text(field, A_STATUS)?;
        Self::parse(written).map_err(|why| {
            let message = format!("`{}` is no status: {why}", written.escape_debug());
            field.fault(message, format!("expected {A_STATUS}"))
        })
    }

    fn parse(written: &str) -> Result<Self, &'static str> {
        let (first, last) = match written.split_once('-') {
            None => (status(written)?, status(written)?),
            Some((first, last)) => (status(first)?, status(last)?),
        };
        if first > last {
            return Err("the lower one comes first");
        }
        Ok(Self { first, last })
    }
}

fn status(written: &str) -> Result<u16, &'static str> {
    let written = written.trim();
    Some(written)
        .filter(|written| written.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|written| written.parse().ok())
        .filter(|status| (200..=599).contains(status))
        .ok_or("answers have one from 200 to 599")
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            self.first.fmt(f)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}
