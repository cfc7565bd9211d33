//! `pool.NAME.tls`

use rustls::pki_types::ServerName;
use toml::Spanned;

use super::Backend;
use crate::config::{
    certificates::{Authorities, authorities, system_authorities},
    diagnostics::Problem,
    field::Field,
    reading::Reported,
    section::{Section, Setting},
    values::{one_of, text},
};

/// `pool.NAME.tls`: how TLS is spoken to backends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendTls {
    /// Who may vouch for a backend: the authorities of `ca`, or else the system's. `None` is
    /// `verify = "off"`: nobody has to, and whoever is on the way may pose as a backend.
    pub authorities: Option<Authorities>,
    /// The name that a backend's certificate must carry; `None` is the host of its address.
    pub server_name: Option<String>,
}

/// The keys of a pool's `tls`, before it is known where the authorities come from.
pub(super) struct TlsParts {
    ca: Result<Option<Authorities>, Reported>,
    verify: Setting<bool>,
    server_name: Result<Option<String>, Reported>,
}

const VERIFY: [(&str, bool); 2] = [("full", true), ("off", false)];

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
                authorities: Some(system_authorities(section.reading, secure.span())?),
                server_name: None,
            }));
        };
        let authorities = match parts.ca {
            _ if !*parts.verify => None,
            Ok(None) => Some(system_authorities(section.reading, secure.span())?),
            Ok(Some(authorities)) => Some(authorities),
            Err(reported) => return Err(reported),
        };
        Ok(Some(Self {
            authorities,
            server_name: parts.server_name?,
        }))
    }

    pub(super) fn read_parts(section: &Section<'_>) -> Result<TlsParts, Reported> {
        let verify = section.setting("verify", |field| one_of(field, &VERIFY), true);
        let ca = section.field("ca");
        if let (Some(ca), Some(verify), false) = (&ca, &verify.place, *verify) {
            let problem = Problem::at(ca.key_place.clone(), "`ca` is of no use here")
                .beside(verify.clone(), "nobody has to vouch for the backends");
            section.reading.report(problem);
        }
        Ok(TlsParts {
            ca: ca.as_ref().map(authorities).transpose(),
            verify,
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
