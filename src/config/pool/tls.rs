//! `pool.NAME.tls`

use std::sync::Arc;

use rustls::{RootCertStore, pki_types::ServerName};
use toml::Spanned;

use super::Backend;
use crate::config::{
    certificates::{authorities, system_authorities},
    diagnostics::Problem,
    field::Field,
    reading::Reported,
    section::Section,
    values::text,
};

/// `pool.NAME.tls`: how TLS is spoken to backends.
#[derive(Debug, Clone)]
pub struct BackendTls {
    /// The authorities that may vouch for a backend: those of `ca`, or else the system's.
    pub roots: Arc<RootCertStore>,
    /// The name that a backend's certificate must carry; `None` is the host of its address.
    pub server_name: Option<String>,
}

/// The keys of a pool's `tls`, before it is known where the authorities come from.
pub(super) struct TlsParts {
    ca: Result<Option<Arc<RootCertStore>>, Reported>,
    server_name: Result<Option<String>, Reported>,
}

impl PartialEq for BackendTls {
    fn eq(&self, other: &Self) -> bool {
        self.roots.roots == other.roots.roots && self.server_name == other.server_name
    }
}

impl Eq for BackendTls {}

impl BackendTls {
    pub(super) fn read(
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

    pub(super) fn read_parts(section: &Section<'_>) -> Result<TlsParts, Reported> {
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
