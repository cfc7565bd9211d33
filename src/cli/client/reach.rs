//! How the user says which proxy is meant.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::Args;
use http::HeaderValue;
use longwire::{
    admin::usual_socket,
    config::{Admin, AdminSocket},
};

use super::{
    Client,
    place::{Address, Place},
};
use crate::cli::File;

/// Where the token is if no file is named.
const TOKEN: &str = "LONGWIRE_TOKEN";

/// The proxy that is meant.
#[derive(Debug, Args)]
pub(crate) struct Reach {
    #[command(flatten)]
    file: File,

    /// The socket of the running proxy, where it is not the one that goes with the configuration
    /// file.
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    socket: Option<PathBuf>,

    /// The address of the running proxy, from anywhere: its `admin.listen`, as
    /// http://127.0.0.1:9090.
    #[arg(long, value_name = "URL", conflicts_with_all = ["config", "socket"])]
    admin: Option<Address>,

    /// The file with the token that --admin asks for. Without it, $LONGWIRE_TOKEN is shown.
    #[arg(long, value_name = "FILE", requires = "admin")]
    token_file: Option<PathBuf>,
}

impl Reach {
    /// The way to it.
    ///
    /// # Errors
    /// If the configuration file or the token cannot be read.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Ok(match &self.admin {
            Some(address) => Client {
                place: Place::Address(address.clone()),
                token: self.token()?,
            },
            None => Client {
                place: self.place()?,
                token: None,
            },
        })
    }

    /// Where its socket is. The file may be wrong: it is the proxy that judges it, which may see
    /// other surroundings than we do.
    fn place(&self) -> anyhow::Result<Place> {
        if let Some(path) = &self.socket {
            return Ok(Place::Socket {
                path: path.clone(),
                file: None,
            });
        }
        let file = self.file.path();
        let admin = Admin::load(file).with_context(|| format!("cannot read {}", file.display()))?;
        let path = match admin.socket {
            AdminSocket::At(path) => path,
            AdminSocket::Usual => usual_socket(file)?,
            AdminSocket::Off => bail!(
                "a proxy that runs with {} takes no orders but signals: its `admin.socket` is \"off\"",
                file.display()
            ),
        };
        let file = Some(file.to_owned());
        Ok(Place::Socket { path, file })
    }

    /// What to show at an address.
    fn token(&self) -> anyhow::Result<Option<HeaderValue>> {
        let token = match &self.token_file {
            Some(file) => read(file)?,
            None => env::var(TOKEN).unwrap_or_default(),
        };
        let token = token.trim();
        if token.is_empty() {
            return Ok(None);
        }
        let mut token = HeaderValue::try_from(format!("Bearer {token}"))
            .context("the token has letters in it that no token has")?;
        token.set_sensitive(true);
        Ok(Some(token))
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}
