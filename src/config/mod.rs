//! `proxy.toml` → [`Config`]: every check, every default, every diagnostic.
//!
//! A [`Config`] that exists is valid: its names resolve, its certificates fit their keys, and no
//! timeout defeats another. The modules above take what they need from it and check nothing again.
//!
//! A section of the file is one file here: its type, its defaults and its reading. They read
//! through a `Section`, which notes every fault with its place and goes on, so that one look at
//! the diagnostics shows all there is to mend.
//!
//! Variables of the environment are put into strings before any section is read, and what that
//! brings about is told with every problem of such a string, unless it may be a secret.

mod address;
mod admin;
mod admission;
mod affinity;
mod certificate;
mod certificates;
mod checks;
mod choice;
mod diagnostics;
mod draining;
mod expansions;
mod field;
mod host;
mod keepalive;
mod limits;
mod listener;
mod log;
mod loops;
mod path;
mod pool;
mod protocols;
mod reading;
mod redact;
mod reload;
mod route;
mod secret;
mod section;
mod server;
mod source;
mod stop;
mod surroundings;
#[cfg(test)]
mod tests;
mod timeouts;
mod tls_words;
mod upgrade;
mod values;
mod variables;
mod warnings;
mod whole;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use thiserror::Error;

use self::surroundings::Surroundings;
pub use self::{
    address::BackendAddress,
    admin::{Admin, AdminSocket},
    admission::{Admission, Gate, PoolAdmission, Rate},
    affinity::{Affinity, CookieAffinity, IpAffinity, KeyAffinity},
    certificate::{Certificate, CertificateError},
    certificates::Authorities,
    diagnostics::{Problem, Problems},
    draining::{DrainCode, DrainPace},
    host::HostPattern,
    keepalive::Keepalive,
    limits::Limits,
    listener::{Listener, ListenerTls, TlsVersion},
    log::{BadLevel, Log, LogFormat},
    pool::{
        Backend, BackendTls, Balance, Check, Drain, Ejection, Exchange, Health, HttpCheck, Intent,
        NoneReady, OnDown, Pool, Question, Rebalance, RebalanceOrder, Retries, Returning, Statuses,
        WebsocketCheck,
    },
    protocols::Protocols,
    reload::{Reload, Removed},
    route::{OnBackendLoss, Refusal, Route},
    secret::{Secret, Token},
    server::{Server, TrustedHeader, TrustedProxies},
    source::Source,
    stop::Stop,
    timeouts::Timeouts,
    tls_words::tls_words,
    upgrade::Upgrade,
};

/// A whole, checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// What it was read from.
    pub source: Arc<Source>,
    /// The process itself.
    pub server: Server,
    /// The operator's door.
    pub admin: Admin,
    /// How the proxy stops.
    pub stop: Stop,
    /// How another process takes over.
    pub upgrade: Upgrade,
    /// What a new configuration does to what is there.
    pub reload: Reload,
    /// The addresses that are accepted on; at least one, none twice.
    pub listeners: Vec<Listener>,
    /// Which requests go to which pool; at least one, no host and path twice.
    pub routes: Vec<Route>,
    /// The named groups of backends; at least one.
    pub pools: Vec<Pool>,
    /// How many handshakes are let in.
    pub admission: Admission,
    /// How long each step may take.
    pub timeouts: Timeouts,
    /// How much of everything is allowed at once.
    pub limits: Limits,
    /// What is logged, and how.
    pub log: Log,
}

impl Config {
    /// Reads and checks the file at `path`. Relative paths in it start where it lies, and variables
    /// are those of this process's environment.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let base = path.parent().unwrap_or(Path::new(""));
        Ok(Self::parse(&text, &path.display().to_string(), base)?)
    }

    /// Reads and checks `text`, which diagnostics call `origin`. Relative paths in it start at
    /// `base`, and variables are those of this process's environment.
    pub fn parse(text: &str, origin: &str, base: &Path) -> Result<Self, Problems> {
        whole::read(text, origin, &Surroundings::real(base))
            .map_err(|problems| Problems::new(origin, text, problems))
    }
}

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file could be read, and is wrong.
    #[error(transparent)]
    Invalid(#[from] Problems),
}
