//! `[pool.NAME]`

use std::{
    collections::HashMap,
    fmt,
    num::{NonZeroU32, NonZeroUsize},
    sync::Arc,
};

use rustls::{RootCertStore, pki_types::ServerName};
use toml::{Spanned, de::DeValue};

use super::{
    address::BackendAddress,
    affinity::Affinity,
    certificates::{authorities, system_authorities},
    diagnostics::{Problem, Span},
    field::Field,
    reading::{Reported, all},
    section::Section,
    values::{integer, one_of, positive, text},
};

/// `[pool.NAME]`: a named group of backends with one balance and one affinity.
#[derive(Debug, Clone)]
pub struct Pool {
    /// Its name: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Its members; at least one, no address twice.
    pub backends: Vec<Backend>,
    /// How a new client gets a backend.
    pub balance: Balance,
    /// How a returning client gets the same backend.
    pub affinity: Affinity,
    /// How TLS is spoken to its `https://` backends; `None` where it has none.
    pub tls: Option<BackendTls>,
}

/// One member of a pool.
#[derive(Debug, Clone)]
pub struct Backend {
    /// Where it is.
    pub address: BackendAddress,
    /// Its share of new clients beside its siblings', 1 to 100. Default: 1.
    pub weight: NonZeroU32,
    /// Tunnels that it may have at once; `None` is no limit.
    pub max_tunnels: Option<NonZeroUsize>,
}

/// `pool.NAME.tls`: how TLS is spoken to backends.
#[derive(Debug, Clone)]
pub struct BackendTls {
    /// The authorities that may vouch for a backend: those of `ca`, or else the system's.
    pub roots: Arc<RootCertStore>,
    /// The name that a backend's certificate must carry; `None` is the host of its address.
    pub server_name: Option<String>,
}

/// How a new client gets a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// The backend with the fewest tunnels (and requests under way) for its weight.
    #[default]
    LeastTunnels,
    /// Each in turn, as often as its weight says.
    RoundRobin,
    /// The less loaded of two drawn at random (Mitzenmacher, "The Power of Two Choices in
    /// Randomized Load Balancing", 2001).
    RandomOfTwo,
}

const BALANCES: [(&str, Balance); 3] = [
    ("least-tunnels", Balance::LeastTunnels),
    ("round-robin", Balance::RoundRobin),
    ("random-of-two", Balance::RandomOfTwo),
];

/// A pool as written: it exists for the routes even where it is faulty.
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) place: Span,
    pub(super) pool: Result<Pool, Reported>,
}

impl Draft {
    pub(super) fn read(field: &Field<'_>) -> Self {
        let named = check_name(field);
        let pool = field.table(|section| Pool::read(section, field.key));
        Self {
            name: field.key.to_owned(),
            place: field.key_place.clone(),
            pool: named.and(pool),
        }
    }
}

fn check_name(field: &Field<'_>) -> Result<(), Reported> {
    let name = field.key;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.is_empty() && name.chars().all(is_plain) {
        return Ok(());
    }
    let problem = Problem::at(
        field.key_place.clone(),
        format!("a pool cannot be called `{}`", name.escape_debug()),
    );
    Err(field.report(problem.expecting("expected letters, digits, `-`, `_` and `.`")))
}

impl Pool {
    fn read(section: &Section<'_>, name: &str) -> Result<Self, Reported> {
        let max_tunnels = section.or("max_tunnels", |field| positive(field).map(Some), None);
        let backends = section.required(
            "backends",
            "expected its members: backends = [\"127.0.0.1:9001\"]",
            |field| backends(field, max_tunnels),
        );
        let balance = section.or(
            "balance",
            |field| one_of(field, &BALANCES),
            Balance::default(),
        );
        let affinity = section.or("affinity", Affinity::read, Affinity::None);
        let backends = match backends {
            Ok(backends) => backends,
            Err(reported) => {
                // Whether it may be here, the backends would say; what is in it can be checked.
                let _ = section.optional("tls", |field| field.table(BackendTls::read_parts));
                return Err(reported);
            }
        };
        let tls = BackendTls::read(section, &backends)?;
        Ok(Self {
            name: name.to_owned(),
            backends: backends.into_iter().map(Spanned::into_inner).collect(),
            balance,
            affinity,
            tls,
        })
    }
}

fn backends(
    field: &Field<'_>,
    max_tunnels: Option<NonZeroUsize>,
) -> Result<Vec<Spanned<Backend>>, Reported> {
    let expected = "an array such as [\"127.0.0.1:9001\"]";
    let elements = field.elements(expected)?;
    if elements.is_empty() {
        let message = "a pool has at least one backend";
        return Err(field.fault(message, format!("expected {expected}")));
    }
    let read: Vec<_> = elements
        .iter()
        .map(|element| Backend::read(element, max_tunnels))
        .collect();
    let repeated = refuse_repeated(field, read.iter().flatten());
    let backends = all(read)?;
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
    fn read(
        field: &Field<'_>,
        max_tunnels: Option<NonZeroUsize>,
    ) -> Result<Spanned<Self>, Reported> {
        match field.value {
            DeValue::Table(_) => field.table(|section| Self::read_table(section, max_tunnels)),
            DeValue::String(_) => field.placed(|field| {
                Ok(Self {
                    address: BackendAddress::read(field)?,
                    weight: NonZeroU32::MIN,
                    max_tunnels,
                })
            }),
            _ => Err(field.mistyped("an address, or a table with one")),
        }
    }

    fn read_table(
        section: &Section<'_>,
        max_tunnels: Option<NonZeroUsize>,
    ) -> Result<Spanned<Self>, Reported> {
        let address = section.required(
            "address",
            "expected the backend's address: address = \"127.0.0.1:9001\"",
            |field| field.placed(BackendAddress::read),
        );
        let weight = section.or("weight", weight, NonZeroU32::MIN);
        let max_tunnels = section.or(
            "max_tunnels",
            |field| positive(field).map(Some),
            max_tunnels,
        );
        let address = address?;
        Ok(Spanned::new(
            address.span(),
            Self {
                address: address.into_inner(),
                weight,
                max_tunnels,
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

/// The keys of a pool's `tls`, before it is known where the authorities come from.
struct TlsParts {
    ca: Result<Option<Arc<RootCertStore>>, Reported>,
    server_name: Result<Option<String>, Reported>,
}

impl BackendTls {
    fn read(
        section: &Section<'_>,
        backends: &[Spanned<Backend>],
    ) -> Result<Option<Self>, Reported> {
        let field = section.field("tls");
        let parts = field.as_ref().map(|field| field.table(Self::read_parts));
        let secure = backends
            .iter()
            .find(|backend| backend.get_ref().address.is_tls());
        let Some(secure) = secure else {
            return match field {
                None => Ok(None),
                Some(field) => Err(field.report(
                    Problem::at(field.key_place.clone(), "`tls` is of no use here")
                        .expecting("no backend of this pool is `https://`"),
                )),
            };
        };
        let Some(parts) = parts.transpose()? else {
            return Ok(Some(Self {
                roots: system_authorities(section.reading, secure.span())?,
                server_name: None,
            }));
        };
        let roots = match parts.ca {
            Ok(None) => system_authorities(section.reading, secure.span()),
            Ok(Some(roots)) => Ok(roots),
            Err(reported) => Err(reported),
        };
        Ok(Some(Self {
            roots: roots?,
            server_name: parts.server_name?,
        }))
    }

    fn read_parts(section: &Section<'_>) -> Result<TlsParts, Reported> {
        Ok(TlsParts {
            ca: section.optional("ca", authorities),
            server_name: section.optional("server_name", server_name),
        })
    }
}

fn server_name(field: &Field<'_>) -> Result<String, Reported> {
    let expected = "the name in the backends' certificates, such as \"internal.example.com\"";
    let written = text(field, expected)?;
    match ServerName::try_from(written) {
        Ok(_) => Ok(written.to_owned()),
        Err(_) => {
            let message = format!("`{}` is no name of a server", written.escape_debug());
            Err(field.fault(message, format!("expected {expected}")))
        }
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LeastTunnels => "least-tunnels",
            Self::RoundRobin => "round-robin",
            Self::RandomOfTwo => "random-of-two",
        })
    }
}
