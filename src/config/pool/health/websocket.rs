//! `check = "websocket"`

use http::HeaderValue;

use super::Question;
use crate::config::{
    diagnostics::Problem,
    field::Field,
    reading::Reported,
    section::Section,
    values::{boolean, non_empty},
};

/// A backend works that opens a WebSocket, and says on it what is awaited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebsocketCheck {
    /// What it is asked.
    pub question: Question,
    /// The subprotocol that it is asked for, and has to grant.
    pub subprotocol: Option<HeaderValue>,
    /// Whether it is pinged, and has to answer. Default: false.
    pub ping: bool,
    /// What is said to it, and what it has to say.
    pub exchange: Option<Exchange>,
}

/// A text message, and the one that has to come back, be it among others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// What is said.
    pub message: String,
    /// What has to come back. Default: the message itself.
    pub answer: String,
}

impl WebsocketCheck {
    pub(super) fn read(section: &Section<'_>) -> Result<Self, Reported> {
        let question = Question::read(section);
        let subprotocol = section.optional("subprotocol", subprotocol);
        let ping = section.or("ping", boolean, false);
        let exchange = Exchange::read(section);
        Ok(Self {
            question: question?,
            subprotocol: subprotocol?,
            ping,
            exchange: exchange?,
        })
    }
}

impl Exchange {
    fn read(section: &Section<'_>) -> Result<Option<Self>, Reported> {
        let said = |field: &Field<'_>| {
            non_empty(field, "a text message such as \"ping\"").map(str::to_owned)
        };
        let message = section.optional("message", said);
        let answer = section.field("answer");
        let told = answer.as_ref().map(said).transpose();
        match (message?, answer) {
            (None, Some(answer)) => {
                let message = "`answer` has no meaning without `message`";
                let problem = Problem::at(answer.key_place.clone(), message)
                    .expecting("expected `message` beside it");
                Err(section.report_absence_beside("message", problem))
            }
            (None, None) => Ok(None),
            (Some(message), _) => {
                let answer = told?.unwrap_or_else(|| message.clone());
                Ok(Some(Self { message, answer }))
            }
        }
    }
}

/// A token (RFC 6455, section 4.1).
fn subprotocol(field: &Field<'_>) -> Result<HeaderValue, Reported> {
    let expected = "a subprotocol's name, such as \"chat\"";
    let written = non_empty(field, expected)?;
    let is_of_a_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let wrong = || {
        let message = format!("`{}` is no name of a subprotocol", written.escape_debug());
        field.fault(message, format!("expected {expected}"))
    };
    if !written.chars().all(is_of_a_token) {
        return Err(wrong());
    }
    HeaderValue::from_str(written).map_err(|_| wrong())
}
