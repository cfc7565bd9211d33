//! What the user says on the command line.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use clap::{Args, Parser, Subcommand, ValueEnum};
use longwire::config::{Config, ConfigError};
use toml::{Table, Value};

/// A WebSocket-aware reverse proxy and load balancer, made for connections that live long.
///
/// It accepts HTTP and WebSocket clients on its listeners, with or without TLS, chooses a backend
/// for each, brings returning clients back to the same one, and keeps watch over every WebSocket as
/// long as it lives.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,

    /// Only check the configuration: the same as `longwire check`.
    #[arg(short = 't', conflicts_with = "options")]
    test: bool,

    #[command(flatten)]
    run: Source,
}

const EXAMPLES: &str = "\
Examples:
  longwire                                  run with ./proxy.toml
  longwire run --config /etc/longwire.toml  run with another file
  longwire check                            say what is wrong with ./proxy.toml, if anything
  longwire run --listen 127.0.0.1:8080 \\
      --backend 127.0.0.1:9001 --backend 127.0.0.1:9002 --affinity cookie
                                            run without a file

Exit codes: 0 all is well, 1 the configuration is wrong or the proxy cannot run,
2 the command line is wrong.
Signals: SIGTERM or SIGINT stops gracefully, a second one at once.";

/// What to do where there is no configuration file.
const WITHOUT_IT: &str = "\
Name another file with --config FILE, or run without one:
  longwire run --listen 127.0.0.1:8080 --backend 127.0.0.1:9001";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy: from a configuration file, or from these options alone.
    #[command(after_help = EXAMPLES)]
    Run(Source),
    /// Check a configuration file, and show every problem in it.
    Check(File),
}

/// Where the configuration comes from.
#[derive(Debug, Args)]
struct Source {
    #[command(flatten)]
    file: File,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Args)]
struct File {
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

/// What to do, with its configuration.
pub(crate) enum Task {
    /// Serve.
    Run(Config),
    /// Say that the file is right.
    Report(PathBuf, Config),
}

impl CommandLine {
    /// What the user wants done.
    ///
    /// # Errors
    /// If the configuration cannot be read or is wrong.
    pub(crate) fn task(self) -> anyhow::Result<Task> {
        match self.command {
            None if self.test => self.run.file.report(),
            None => self.run.config().map(Task::Run),
            Some(Command::Run(source)) => source.config().map(Task::Run),
            Some(Command::Check(file)) => file.report(),
        }
    }
}

impl Source {
    fn config(&self) -> anyhow::Result<Config> {
        if self.options.listen.is_empty() {
            self.file.load()
        } else {
            self.options.config()
        }
    }
}

impl File {
    fn load(&self) -> anyhow::Result<Config> {
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

    fn report(self) -> anyhow::Result<Task> {
        let config = self.load()?;
        Ok(Task::Report(self.config, config))
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
