//! What a reading takes from outside the text.

use std::{
    env::{self, VarError},
    path::Path,
};

use rustls::pki_types::CertificateDer;

/// The world around a configuration file, passed in so that tests can make their own.
pub(super) struct Surroundings<'a> {
    /// Where relative paths start.
    pub(super) base: &'a Path,
    /// The value of an environment variable.
    pub(super) variable: fn(&str) -> Result<String, VarError>,
    /// The authorities that the system trusts.
    pub(super) authorities: fn() -> Vec<CertificateDer<'static>>,
}

impl<'a> Surroundings<'a> {
    /// Those of this process.
    pub(super) fn real(base: &'a Path) -> Self {
        Self {
            base,
            variable: |name| env::var(name),
            authorities: || rustls_native_certs::load_native_certs().certs,
        }
    }
}
