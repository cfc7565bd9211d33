//! Certificates, keys and authorities from PEM files.
//!
//! Only this and what reads a certificate again know rustls-pemfile, which is no longer developed.

use std::{fs, path::Path, sync::Arc};

use rustls::{
    Error, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
    sign::CertifiedKey,
};

use super::{
    certificate::{Certificate, Source},
    diagnostics::{Problem, Span},
    field::Field,
    reading::{Reading, Reported},
    section::Section,
    tls_words::tls_words,
    values::non_empty,
};

const A_PEM_FILE: &str = "the path of a PEM file";

/// A certificate chain and the key that fits it.
pub(super) fn certificate(section: &Section<'_>) -> Result<Certificate, Reported> {
    let chain = section.required(
        "chain",
        "expected the certificate and those between it and its authority: chain = \"chain.pem\"",
        |field| Chain::read(field),
    );
    let key = section.required(
        "key",
        "expected the certificate's key: key = \"key.pem\"",
        |field| Key::read(field),
    );
    matched(section.reading, chain?, key?)
}

/// The certificates of a file, and where it is named.
struct Chain {
    file: Source,
    place: Span,
    certificates: Vec<CertificateDer<'static>>,
}

/// The private key of a file, and where it is named.
struct Key {
    file: Source,
    place: Span,
    key: PrivateKeyDer<'static>,
}

impl Chain {
    fn read(field: &Field<'_>) -> Result<Self, Reported> {
        let (file, pem) = pem_file(field)?;
        Ok(Self {
            certificates: certificates(field, file.path(), &pem)?,
            place: field.place.clone(),
            file,
        })
    }
}

impl Key {
    fn read(field: &Field<'_>) -> Result<Self, Reported> {
        let (file, pem) = pem_file(field)?;
        let path = file.path();
        let key = rustls_pemfile::private_key(&mut &*pem)
            .map_err(|error| broken(field, path, &error.to_string()))?
            .ok_or_else(|| no_key(field, path, &pem))?;
        Ok(Self {
            key,
            place: field.place.clone(),
            file,
        })
    }
}

fn no_key(field: &Field<'_>, path: &Path, pem: &[u8]) -> Reported {
    let message = format!("there is no private key in {}", path.display());
    let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
    if pem
        .windows(encrypted.len())
        .any(|window| window == encrypted)
    {
        return field.fault(message, "expected a key that needs no passphrase");
    }
    field.fault(
        message,
        "expected a private key in PKCS#8, PKCS#1 or SEC1 form",
    )
}

fn matched(reading: &Reading<'_>, chain: Chain, key: Key) -> Result<Certificate, Reported> {
    let provider = aws_lc_rs::default_provider();
    let error = match CertifiedKey::from_der(chain.certificates, key.key, &provider) {
        Ok(certified) => {
            return Ok(Certificate {
                certified: Arc::new(certified),
                chain: chain.file,
                key: key.file,
            });
        }
        Err(error) => error,
    };
    let (chain_path, key_path) = (chain.file.path().display(), key.file.path().display());
    let problem = match error {
        Error::InconsistentKeys(_) => Problem::at(
            key.place,
            format!("the key in {key_path} does not fit the certificate in {chain_path}"),
        )
        .beside(chain.place, "this certificate is for another key")
        .helping("the certificate of the key stands first in its file"),
        Error::InvalidCertificate(_) => Problem::at(
            chain.place,
            format!(
                "the first certificate in {chain_path} cannot be read: {}",
                tls_words(&error)
            ),
        ),
        _ => Problem::at(
            key.place,
            format!(
                "the key in {key_path} cannot be used: {}",
                tls_words(&error)
            ),
        )
        .expecting("expected an RSA, ECDSA or Ed25519 key"),
    };
    Err(reading.report(problem))
}

/// Who may vouch for a backend.
#[derive(Debug, Clone)]
pub struct Authorities {
    /// The authorities' certificates.
    pub roots: Arc<RootCertStore>,
    /// Those of a file that have signed themselves: a backend may show exactly such a one.
    pub self_signed: Arc<[CertificateDer<'static>]>,
}

impl Authorities {
    /// These, and no certificate of a backend's own.
    #[must_use]
    pub fn of(roots: Arc<RootCertStore>) -> Self {
        Self {
            roots,
            self_signed: Arc::default(),
        }
    }
}

impl PartialEq for Authorities {
    fn eq(&self, other: &Self) -> bool {
        self.roots.roots == other.roots.roots && self.self_signed == other.self_signed
    }
}

impl Eq for Authorities {}

/// The authorities in the file that `field` names.
pub(super) fn authorities(field: &Field<'_>) -> Result<Authorities, Reported> {
    let (file, pem) = pem_file(field)?;
    let mut roots = RootCertStore::empty();
    let mut self_signed = Vec::new();
    for certificate in certificates(field, file.path(), &pem)? {
        if has_signed_itself(&certificate) {
            self_signed.push(certificate.clone());
        }
        roots
            .add(certificate)
            .map_err(|error| broken(field, file.path(), &tls_words(&error)))?;
    }
    Ok(Authorities {
        roots: Arc::new(roots),
        self_signed: self_signed.into(),
    })
}

/// Whether a certificate names itself as its issuer.
fn has_signed_itself(certificate: &CertificateDer<'_>) -> bool {
    let certificate = webpki::EndEntityCert::try_from(certificate);
    certificate.is_ok_and(|certificate| certificate.issuer() == certificate.subject())
}

/// The authorities that the system trusts, for the backend at `place`. They are loaded once.
pub(super) fn system_authorities(
    reading: &Reading<'_>,
    place: Span,
) -> Result<Authorities, Reported> {
    let load = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates((reading.surroundings.authorities)());
        (!roots.is_empty()).then(|| Arc::new(roots))
    };
    reading
        .system_roots
        .get_or_init(load)
        .clone()
        .map(Authorities::of)
        .ok_or_else(|| {
            let message = "the system has no certificate authorities to check this backend with";
            reading.report(
                Problem::at(place, message)
                    .helping("set `tls.ca` of the pool to a file with the authority's certificate"),
            )
        })
}

fn pem_file(field: &Field<'_>) -> Result<(Source, Vec<u8>), Reported> {
    let file = Source::at(field.resolve(non_empty(field, A_PEM_FILE)?));
    match fs::read(file.path()) {
        Ok(pem) => Ok((file, pem)),
        Err(error) => {
            let message = format!("cannot read {}: {error}", file.path().display());
            Err(field.fault(message, format!("expected {A_PEM_FILE}")))
        }
    }
}

/// The certificates in `pem`; at least one.
fn certificates(
    field: &Field<'_>,
    path: &Path,
    mut pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, Reported> {
    let certificates: Vec<_> = rustls_pemfile::certs(&mut pem)
        .collect::<Result<_, _>>()
        .map_err(|error| broken(field, path, &error.to_string()))?;
    if certificates.is_empty() {
        let message = format!("there is no certificate in {}", path.display());
        return Err(field.fault(message, "expected `-----BEGIN CERTIFICATE-----` in it"));
    }
    Ok(certificates)
}

fn broken(field: &Field<'_>, path: &Path, why: &str) -> Reported {
    let message = format!("{} is damaged: {why}", path.display());
    field.fault(message, format!("expected {A_PEM_FILE}"))
}
