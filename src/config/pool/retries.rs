//! `pool.NAME.retries`

use http::StatusCode;

use crate::config::{
    field::Field,
    reading::{self, Reported},
    section::Section,
    values::{integer, percent},
};

/// `[pool.NAME.retries]`: when a WebSocket handshake that failed on one backend goes to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retries {
    /// Further backends that one handshake may go to. Default: 3; 0 is none.
    pub max: usize,
    /// Answers with which a backend sends the handshake on to the next, all of them errors.
    /// Default: 502, 503 and 504.
    pub statuses: Vec<StatusCode>,
    /// Handshakes that may be on a further backend at once, in percent of all that are under way.
    /// Default: 50.
    pub budget: u32,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            max: 3,
            statuses: vec![
                StatusCode::BAD_GATEWAY,
                StatusCode::SERVICE_UNAVAILABLE,
                StatusCode::GATEWAY_TIMEOUT,
            ],
            budget: 50,
        }
    }
}

impl Retries {
    pub(super) fn read(section: &Section<'_>) -> Result<Self, Reported> {
        let default = Self::default();
        Ok(Self {
            max: section.or("max", |field| integer(field, 0..=100), default.max),
            statuses: section.or("statuses", statuses, default.statuses),
            budget: section.or("budget", |field| percent(field, 0..=100), default.budget),
        })
    }
}

fn statuses(field: &Field<'_>) -> Result<Vec<StatusCode>, Reported> {
    let elements = field.elements("an array such as [502, 503, 504]")?;
    reading::all(elements.iter().map(error_status))
}

/// A status of an error: the others are answers that a client has to see.
fn error_status(field: &Field<'_>) -> Result<StatusCode, Reported> {
    let status = integer(field, 400..=599)?;
    // The range is one of statuses.
    let status = u16::try_from(status).ok();
    Ok(status
        .and_then(|status| StatusCode::from_u16(status).ok())
        .unwrap_or(StatusCode::SERVICE_UNAVAILABLE))
}
