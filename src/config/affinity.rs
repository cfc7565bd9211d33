//! `pool.NAME.affinity`

use std::{fmt, num::NonZeroUsize, time::Duration};

use cookie::SameSite;
use http::HeaderName;
use toml::de::DeValue;

use super::{
    choice::Choice,
    diagnostics::Problem,
    field::Field,
    host::checked_name,
    reading::Reported,
    secret::Secret,
    section::Section,
    values::{
        boolean, duration, integer, non_empty, one_of, or_off, percent, positive, seconds, text,
    },
};

/// How a returning client gets the same backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Affinity {
    /// It does not: every request is balanced.
    None,
    /// A signed cookie names the backend.
    Cookie(CookieAffinity),
    /// The client's IP address.
    Ip(IpAffinity),
    /// The value of a request header: same value, same backend.
    Header(KeyAffinity<HeaderName>),
    /// The value of a query parameter: same value, same backend.
    Query(KeyAffinity<String>),
}

/// `affinity = { by = "header", … }` or `{ by = "query", … }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyAffinity<N> {
    /// What the key is called.
    pub name: N,
    /// How much a backend may carry, in percent of its fair share, before further keys go on to
    /// the next; `None` is no limit. Default: none. 101 to 1000.
    pub balance_factor: Option<u32>,
}

/// `affinity = { by = "cookie", … }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieAffinity {
    /// The cookie's name. Default: `longwire`.
    pub name: String,
    /// What cookies are signed with: from `secret`, `secret_file` or `secret_env`; random when none
    /// is given, and then no cookie outlives the process.
    pub secret: Secret,
    /// How long a cookie is valid; one that has lived half of it is renewed. Default: 1 day.
    /// At least 1 s.
    pub max_age: Duration,
    /// The `Domain` attribute; `None` is the host alone.
    pub domain: Option<String>,
    /// The `Path` attribute. Default: `/`.
    pub path: String,
    /// The `SameSite` attribute. Default: `Lax`.
    pub same_site: SameSite,
    /// The `Secure` attribute; `None` sets it where the client came over TLS.
    pub secure: Option<bool>,
    /// The `HttpOnly` attribute. Default: true.
    pub http_only: bool,
    /// The `Partitioned` attribute, which makes the cookie `Secure`. Default: not.
    pub partitioned: bool,
}

/// `affinity = { by = "ip", … }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpAffinity {
    /// How many leading bits of an IPv6 address make one client, 1 to 128. Default: 64.
    pub ipv6_prefix: u8,
    /// How long a client without a tunnel is remembered. Default: 1 hour.
    pub expiry: Duration,
    /// Clients that are remembered at most: the oldest are forgotten first, and none that has a
    /// tunnel. Default: 1,000,000.
    pub clients: NonZeroUsize,
    /// As [`KeyAffinity::balance_factor`], for clients that are not remembered.
    pub balance_factor: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    None,
    Cookie,
    Ip,
    Header,
    Query,
}

const BY: Choice<By> = Choice {
    key: "by",
    names: &[
        ("cookie", By::Cookie),
        ("ip", By::Ip),
        ("header", By::Header),
        ("query", By::Query),
        ("none", By::None),
    ],
    others: &[
        ("name", &[By::Cookie, By::Header, By::Query]),
        ("secret", &[By::Cookie]),
        ("secret_file", &[By::Cookie]),
        ("secret_env", &[By::Cookie]),
        ("max_age", &[By::Cookie]),
        ("domain", &[By::Cookie]),
        ("path", &[By::Cookie]),
        ("same_site", &[By::Cookie]),
        ("secure", &[By::Cookie]),
        ("http_only", &[By::Cookie]),
        ("partitioned", &[By::Cookie]),
        ("ipv6_prefix", &[By::Ip]),
        ("expiry", &[By::Ip]),
        ("clients", &[By::Ip]),
        ("balance_factor", &[By::Ip, By::Header, By::Query]),
    ],
};

/// Clients that are remembered by their address.
const CLIENTS: NonZeroUsize = NonZeroUsize::new(1_000_000).unwrap();

impl Affinity {
    /// Whether a client that comes back may get another backend, and keep that one then.
    #[must_use]
    pub fn can_be_given_anew(&self) -> bool {
        matches!(self, Self::None | Self::Cookie(_))
    }

    pub(super) fn read(field: &Field<'_>) -> Result<Self, Reported> {
        match field.value()? {
            DeValue::String(_) => Self::read_short(field),
            DeValue::Table(_) => field.table(Self::read_table),
            _ => Err(field.mistyped("a table such as { by = \"cookie\" }, or \"cookie\" alone")),
        }
    }

    fn read_short(field: &Field<'_>) -> Result<Self, Reported> {
        let by = one_of(field, BY.names)?;
        // What a name alone says is what a table says that has nothing else.
        let defaults = |read| field.as_empty_table(|section| Self::read_by(section, read));
        match by {
            By::None | By::Cookie | By::Ip => defaults(by),
            By::Header | By::Query => {
                let written = BY.name(by);
                Err(field.fault(
                    format!("affinity by {written} needs the {written}'s name"),
                    format!("expected affinity = {{ by = \"{written}\", name = \"room\" }}"),
                ))
            }
        }
    }

    fn read_table(section: &Section<'_>) -> Result<Self, Reported> {
        let expected = "expected what a returning client is known by: by = \"cookie\"";
        BY.read(section, expected, Self::read_by)
    }

    fn read_by(section: &Section<'_>, by: By) -> Result<Self, Reported> {
        match by {
            By::None => Ok(Self::None),
            By::Cookie => CookieAffinity::read(section).map(Self::Cookie),
            By::Ip => IpAffinity::read(section).map(Self::Ip),
            By::Header => {
                let expected = "expected a header's name: name = \"x-room\"";
                KeyAffinity::read(section, expected, header).map(Self::Header)
            }
            By::Query => {
                let expected = "expected a parameter's name: name = \"room\"";
                KeyAffinity::read(section, expected, parameter).map(Self::Query)
            }
        }
    }

    /// How much a backend may carry, in percent of its fair share, before keys that ask for it go
    /// on to the next.
    #[must_use]
    pub fn balance_factor(&self) -> Option<u32> {
        match self {
            Self::None | Self::Cookie(_) => None,
            Self::Ip(ip) => ip.balance_factor,
            Self::Header(KeyAffinity { balance_factor, .. })
            | Self::Query(KeyAffinity { balance_factor, .. }) => *balance_factor,
        }
    }
}

fn header(field: &Field<'_>) -> Result<HeaderName, Reported> {
    let expected = "a header's name, such as \"x-room\"";
    let written = text(field, expected)?;
    HeaderName::try_from(written).map_err(|_| {
        let message = format!("`{}` is no name of a header", written.escape_debug());
        field.fault(message, format!("expected {expected}"))
    })
}

fn parameter(field: &Field<'_>) -> Result<String, Reported> {
    let expected = "a query parameter's name, such as \"room\"";
    let written = non_empty(field, expected)?;
    let ends_it = |c: char| matches!(c, '&' | '=' | '#') || c.is_whitespace() || c.is_control();
    if written.contains(ends_it) {
        let message = format!("`{}` is no name of a parameter", written.escape_debug());
        return Err(field.fault(message, format!("expected {expected}")));
    }
    Ok(written.to_owned())
}

const SAME_SITES: [(&str, SameSite); 3] = [
    ("lax", SameSite::Lax),
    ("strict", SameSite::Strict),
    ("none", SameSite::None),
];

impl CookieAffinity {
    fn read(section: &Section<'_>) -> Result<Self, Reported> {
        let same_site = section.setting(
            "same_site",
            |field| one_of(field, &SAME_SITES),
            SameSite::Lax,
        );
        let secure = section.setting("secure", |field| boolean(field).map(Some), None);
        if *same_site == SameSite::None && *secure == Some(false) {
            let place = secure.place.clone().or(section.place()).unwrap_or_default();
            let problem = Problem::at(place, "a cookie for every site must be secure")
                .expecting("expected `true`, or nothing")
                .helping("browsers drop a cookie that has `SameSite=None` without `Secure`");
            let site = same_site.place.clone().unwrap_or_default();
            section
                .reading
                .report(problem.beside(site, "sent from every site"));
        }
        let partitioned = section.setting("partitioned", boolean, false);
        if *partitioned && *secure == Some(false) {
            let place = secure.place.clone().or(section.place()).unwrap_or_default();
            let problem = Problem::at(place, "a partitioned cookie must be secure")
                .expecting("expected `true`, or nothing")
                .helping("browsers drop a cookie that has `Partitioned` without `Secure`");
            let beside = partitioned.place.clone().unwrap_or_default();
            section
                .reading
                .report(problem.beside(beside, "partitioned"));
        }
        Ok(Self {
            name: section.or("name", cookie_name, "longwire".to_owned()),
            secret: Secret::read(section),
            max_age: section.or("max_age", seconds, Duration::from_secs(24 * 60 * 60)),
            domain: section.or("domain", |field| domain(field).map(Some), None),
            path: section.or("path", cookie_path, "/".to_owned()),
            same_site: *same_site,
            secure: *secure,
            http_only: section.or("http_only", boolean, true),
            partitioned: *partitioned,
        })
    }
}

/// A token (RFC 6265, 4.1.1; RFC 9110, 5.6.2).
fn cookie_name(field: &Field<'_>) -> Result<String, Reported> {
    let expected = "letters, digits and any of !#$%&'*+-.^_`|~";
    let written = text(field, "a cookie's name")?;
    let is_of_a_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if written.is_empty() || !written.chars().all(is_of_a_token) {
        let message = format!("`{}` is no name of a cookie", written.escape_debug());
        return Err(field.fault(message, format!("expected {expected}")));
    }
    Ok(written.to_owned())
}

fn domain(field: &Field<'_>) -> Result<String, Reported> {
    let expected = "a name such as \"example.com\"";
    let written = text(field, expected)?;
    checked_name(written).map_err(|why| {
        let message = format!("`{}` is no domain: {why}", written.escape_debug());
        field.fault(message, format!("expected {expected}"))
    })
}

fn cookie_path(field: &Field<'_>) -> Result<String, Reported> {
    let expected = "a path such as \"/\", without `;`";
    let written = text(field, expected)?;
    let is_of_a_path = |byte: u8| byte.is_ascii_graphic() && byte != b';';
    if !written.starts_with('/') || !written.bytes().all(is_of_a_path) {
        let message = format!("`{}` is no path of a cookie", written.escape_debug());
        return Err(field.fault(message, format!("expected {expected}")));
    }
    Ok(written.to_owned())
}

impl IpAffinity {
    fn read(section: &Section<'_>) -> Result<Self, Reported> {
        Ok(Self {
            ipv6_prefix: section.or("ipv6_prefix", prefix, 64),
            expiry: section.or("expiry", duration, Duration::from_secs(60 * 60)),
            clients: section.or("clients", positive, CLIENTS),
            balance_factor: balance_factor(section),
        })
    }
}

impl<N> KeyAffinity<N> {
    fn read(
        section: &Section<'_>,
        expected: &'static str,
        name: impl FnOnce(&Field<'_>) -> Result<N, Reported>,
    ) -> Result<Self, Reported> {
        let balance_factor = balance_factor(section);
        Ok(Self {
            name: section.required("name", expected, name)?,
            balance_factor,
        })
    }
}

/// A factor of 100 would leave no backend that is ahead of the others by a single client.
fn balance_factor(section: &Section<'_>) -> Option<u32> {
    section.or(
        "balance_factor",
        |field| or_off(field, |field| percent(field, 101..=1000)),
        None,
    )
}

fn prefix(field: &Field<'_>) -> Result<u8, Reported> {
    // The range fits.
    integer(field, 1..=128).map(|bits| u8::try_from(bits).unwrap_or(128))
}

impl fmt::Display for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Cookie(_) => "cookie",
            Self::Ip(_) => "ip",
            Self::Header(_) => "header",
            Self::Query(_) => "query",
        })
    }
}
