//! A certificate for this machine's own names, which no authority has signed.

use std::{fs, path::Path};

use anyhow::Context;
use rcgen::{CertifiedKey, generate_simple_self_signed};

/// Writes `localhost.pem` and `localhost.key`.
pub(crate) fn write_to(directory: &Path) -> anyhow::Result<()> {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(names).context("cannot make a certificate")?;
    fs::write(directory.join("localhost.pem"), cert.pem())
        .and_then(|()| fs::write(directory.join("localhost.key"), signing_key.serialize_pem()))
        .context("cannot write the certificate")
}
