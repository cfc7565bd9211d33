//! `pool.NAME.backends`

use std::{
    collections::HashMap,
    fmt,
    num::{NonZeroU32, NonZeroUsize},
};

use serde::{Deserialize, Serialize};
use toml::{Spanned, de::DeValue};

use crate::config::{
    address::BackendAddress,
    diagnostics::{Problem, Span},
    field::Field,
    reading::{self, Reported},
    section::Section,
    values::{integer, one_of, positive},
};

/// One member of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// Where it is.
    pub address: BackendAddress,
    /// Its share of new clients beside its siblings', 1 to 100. Default: 1.
    pub weight: NonZeroU32,
    /// Tunnels that it may have at once; `None` is no limit.
    pub max_tunnels: Option<NonZeroUsize>,
    /// Plain requests that it may have at once; `None` is no limit.
    pub max_requests: Option<NonZeroUsize>,
    /// What it is meant for now. Default: for everyone.
    pub intent: Intent,
}

/// `state`: what the operator wants of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Intent {
    /// It takes clients.
    #[default]
    Ready,
    /// It gets no new clients, and its tunnels are closed at a pace.
    Draining,
    /// It gets no clients at all; its tunnels go on until they end.
    Maintenance,
}

const INTENTS: [(&str, Intent); 3] = [
    ("ready", Intent::Ready),
    ("draining", Intent::Draining),
    ("maintenance", Intent::Maintenance),
];

/// How much a backend of a pool may have at once that does not say so itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    pub(super) tunnels: Option<NonZeroUsize>,
    pub(super) requests: Option<NonZeroUsize>,
}

/// Every member of a pool. What does not say itself how much it may have gets `most`.
pub(super) fn all(field: &Field<'_>, most: Most) -> Result<Vec<Spanned<Backend>>, Reported> {
    let expected = "an array such as [\"127.0.0.1:9001\"]";
    let elements = field.elements(expected)?;
    if elements.is_empty() {
        let message = "a pool has at least one backend";
        return Err(field.fault(message, format!("expected {expected}")));
    }
    let read: Vec<_> = elements
        .iter()
        .map(|element| Backend::read(element, most))
        .collect();
    let repeated = refuse_repeated(field, read.iter().flatten());
    let backends = reading::all(read)?;
    repeated.map(|()| backends)
}

fn refuse_repeated<'b>(
    field: &Field<'_>,
    backends: impl Iterator<Item = &'b Spanned<Backend>>,
) -> Result<(), Reported> {
    let mut first_uses: HashMap<&BackendAddress, Span> = HashMap::new();
    let mut outcome = Ok(());
    for backend in backends {
        let address = &backend.get_ref().address;
        let Some(first) = first_uses.get(address) else {
            first_uses.insert(address, backend.span());
            continue;
        };
        let message = format!("the backend `{address}` is in this pool twice");
        let problem = Problem::at(backend.span(), message)
            .beside(first.clone(), "first used here")
            .helping("`weight` gives a backend more than one share");
        outcome = Err(field.report(problem));
    }
    outcome
}

impl Backend {
    /// The backend at `address`, with every default.
    #[must_use]
    pub fn at(address: BackendAddress) -> Self {
        Self {
            address,
            weight: NonZeroU32::MIN,
            max_tunnels: None,
            max_requests: None,
            intent: Intent::default(),
        }
    }

    fn read(field: &Field<'_>, most: Most) -> Result<Spanned<Self>, Reported> {
        match field.value()? {
            DeValue::Table(_) => field.table(|section| Self::read_table(section, most)),
            DeValue::String(_) => field.placed(|field| {
                Ok(Self {
                    max_tunnels: most.tunnels,
                    max_requests: most.requests,
                    ..Self::at(BackendAddress::read(field)?)
                })
            }),
            _ => Err(field.mistyped("an address, or a table with one")),
        }
    }

    fn read_table(section: &Section<'_>, most: Most) -> Result<Spanned<Self>, Reported> {
        let address = section.required(
            "address",
            "expected the backend's address: address = \"127.0.0.1:9001\"",
            |field| field.placed(BackendAddress::read),
        );
        let weight = section.or("weight", weight, NonZeroU32::MIN);
        let max = |key, most| section.or(key, |field| positive(field).map(Some), most);
        let max_tunnels = max("max_tunnels", most.tunnels);
        let max_requests = max("max_requests", most.requests);
        let intent = section.or("state", |field| one_of(field, &INTENTS), Intent::default());
        let address = address?;
        Ok(Spanned::new(
            address.span(),
            Self {
                address: address.into_inner(),
                weight,
                max_tunnels,
                max_requests,
                intent,
            },
        ))
    }
}

fn weight(field: &Field<'_>) -> Result<NonZeroU32, Reported> {
    let weight = integer(field, 1..=100)?;
    // The range fits, and begins at 1.
    let weight = u32::try_from(weight).ok().and_then(NonZeroU32::new);
    Ok(weight.unwrap_or(NonZeroU32::MIN))
}

impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Maintenance => "maintenance",
        })
    }
}
