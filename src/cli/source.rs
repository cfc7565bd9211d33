//! Where the configuration comes from: a file, or options.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use longwire::config::{Config, ConfigError};
use toml::{Table, Value};

/// What to do where there is no configuration file.
const WITHOUT_IT: &str = "\
Name another file with --config FILE, or run without one:
  longwire run --listen 127.0.0.1:8080 --backend 127.0.0.1:9001";

/// Where the configuration comes from.
#[derive(Debug, Args)]
pub(crate) struct Source {
    #[command(flatten)]
    pub(super) file: File,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Args)]
pub(crate) struct File {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE", default_value = "proxy.toml")]
    config: PathBuf,
}

/// A configuration without a file: one pool, for every host and path.
#[derive(Debug, Args)]
#[group(id = "options", conflicts_with = "config", multiple = true)]
struct Options {
    /// Accept clients on this address. May be given several times.
    #[arg(long, value_name = "ADDRESS:PORT", requires = "backend")]
    listen: Vec<SocketAddr>,

    /// Send clients to this backend: host:port, https://host or unix:/path. May be given several
    /// times.
    #[arg(long, value_name = "ADDRESS", requires = "listen")]
    backend: Vec<String>,

    /// How a returning client gets the same backend.
    #[arg(
        long,
        value_enum,
        requires = "backend",
        default_value = "none",
        hide_default_value = true
    )]
    affinity: AffinityBy,

    /// Speak TLS on the listeners, with the certificates in this PEM file.
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "listen"])]
    tls_cert: Option<PathBuf>,

    /// The private key of the certificate, in a PEM file.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AffinityBy {
    /// It does not: each request is balanced.
    None,
    /// By a signed cookie.
    Cookie,
    /// By its IP address.
    Ip,
}

impl Source {
    /// The configuration, read and checked.
    ///
    /// # Errors
    /// If it cannot be read or is wrong.
    pub(crate) fn config(&self) -> anyhow::Result<Config> {
        match self.file() {
            Some(file) => file.load(),
            None => self.options.config(),
        }
    }

    /// The file, unless the options are all there is.
    pub(crate) fn file(&self) -> Option<&File> {
        self.options.listen.is_empty().then_some(&self.file)
    }
}

impl File {
    pub(crate) fn path(&self) -> &Path {
        &self.config
    }

    /// Reads and checks it.
    ///
    /// # Errors
    /// If it cannot be read or is wrong.
    pub(crate) fn load(&self) -> anyhow::Result<Config> {
        Config::load(&self.config).map_err(|error| {
            let is_missing = matches!(&error, ConfigError::Unreadable { source, .. }
                if source.kind() == io::ErrorKind::NotFound);
            let error = anyhow::Error::from(error);
            if is_missing {
                anyhow!("{error:#}\n{WITHOUT_IT}")
            } else {
                error
            }
        })
    }
}

impl Options {
    /// The configuration that these options stand for: checked like one from a file.
    fn config(&self) -> anyhow::Result<Config> {
        let text = toml::to_string(&self.table()).context("cannot write the options as TOML")?;
        Ok(Config::parse(&text, "command line", Path::new(""))?)
    }

    fn table(&self) -> Table {
        let listeners = self.listen.iter().map(|address| {
            let mut listener = table([("address", address.to_string().into())]);
            if let Some(tls) = self.tls() {
                listener.insert("tls".to_owned(), tls.into());
            }
            Value::from(listener)
        });
        let affinity = match self.affinity {
            AffinityBy::None => "none",
            AffinityBy::Cookie => "cookie",
            AffinityBy::Ip => "ip",
        };
        let backends: Vec<_> = self.backend.iter().map(literal).collect();
        let pool = table([("backends", backends.into()), ("affinity", affinity.into())]);
        table([
            ("listener", listeners.collect::<Vec<_>>().into()),
            ("route", vec![table([("pool", "default".into())])].into()),
            ("pool", table([("default", pool.into())]).into()),
        ])
    }

    fn tls(&self) -> Option<Table> {
        let (chain, key) = (self.tls_cert.as_ref()?, self.tls_key.as_ref()?);
        let certificate = table([
            ("chain", literal(chain.to_string_lossy())),
            ("key", literal(key.to_string_lossy())),
        ]);
        Some(table([("certificates", vec![certificate].into())]))
    }
}

/// A value that stands for `text` as it is: on a command line variables are the shell's.
fn literal(text: impl AsRef<str>) -> Value {
    text.as_ref().replace("${", "$${").into()
}

fn table<const N: usize>(entries: [(&str, Value); N]) -> Table {
    let entries = entries.into_iter();
    entries
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}
