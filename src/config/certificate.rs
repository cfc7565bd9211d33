//! A certificate with its key, which is read again when its files change.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use rustls::{crypto::aws_lc_rs, sign::CertifiedKey};

use super::tls_words::tls_words;

/// A certificate chain with the key that fits it, and the files that they are from.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The chain and its key.
    pub certified: Arc<CertifiedKey>,
    pub(super) chain: Source,
    pub(super) key: Source,
}

/// A file, as it was before it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    path: PathBuf,
    stamp: Option<Stamp>,
}

/// What changes with a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    device: u64,
    inode: u64,
}

/// Why a certificate cannot be read again.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The key does not fit the certificate, or one of them cannot be used.
    #[error("the key in {} cannot be used with the certificate in {}: {}", key.display(), chain.display(), tls_words(source))]
    Unusable {
        /// The file of the chain.
        chain: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
}

impl Certificate {
    /// Whether its files have changed since they were read.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.chain.has_changed() || self.key.has_changed()
    }

    /// Becomes the certificate that is in its files now.
    ///
    /// # Errors
    /// If a file cannot be read, or the key does not fit, as in the midst of a change. It then stays
    /// what it was, and its files have to change again.
    pub fn renew(&mut self) -> Result<(), CertificateError> {
        // Before they are read, so that no change goes unseen that comes meanwhile.
        (self.chain, self.key) = (self.chain.now(), self.key.now());
        self.certified = Arc::new(self.read()?);
        Ok(())
    }

    fn read(&self) -> Result<CertifiedKey, CertificateError> {
        let Self { chain, key, .. } = self;
        let certificates = chain.read(|mut pem| {
            let certificates: Vec<_> = rustls_pemfile::certs(&mut pem).collect::<Result<_, _>>()?;
            if certificates.is_empty() {
                return Err(io::Error::new(
                    ErrorKind::InvalidData,
                    "it has no certificate",
                ));
            }
            Ok(certificates)
        })?;
        let private = key.read(|mut pem| {
            let key = rustls_pemfile::private_key(&mut pem)?;
            key.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "it has no private key"))
        })?;
        let provider = aws_lc_rs::default_provider();
        let certified = CertifiedKey::from_der(certificates, private, &provider);
        certified.map_err(|source| CertificateError::Unusable {
            chain: chain.path.clone(),
            key: key.path.clone(),
            source,
        })
    }
}

/// The same certificate from the same files. A key is not compared: another fits another certificate.
impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.certified.cert == other.certified.cert
            && self.chain.path == other.chain.path
            && self.key.path == other.key.path
    }
}

impl Eq for Certificate {}

impl Source {
    /// The file at `path`, as it is now.
    pub(super) fn at(path: PathBuf) -> Self {
        let stamp = Stamp::of(&path);
        Self { path, stamp }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn now(&self) -> Self {
        Self::at(self.path.clone())
    }

    fn has_changed(&self) -> bool {
        Stamp::of(&self.path) != self.stamp
    }

    fn read<T>(&self, parse: impl FnOnce(&[u8]) -> io::Result<T>) -> Result<T, CertificateError> {
        let read = fs::read(&self.path).and_then(|pem| parse(&pem));
        read.map_err(|source| CertificateError::Unreadable {
            path: self.path.clone(),
            source,
        })
    }
}

impl Stamp {
    /// Of the file that a path leads to, through links; `None` if there is none.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::OpenOptions, io::Write, process::Command, thread};

    use rcgen::{CertifiedKey as Made, generate_simple_self_signed};

    use super::*;

    fn made() -> Made<rcgen::KeyPair> {
        generate_simple_self_signed(["one.test".to_owned()]).unwrap()
    }

    fn certificate(made: &Made<rcgen::KeyPair>, chain: PathBuf, key: PathBuf) -> Certificate {
        fs::write(&chain, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let (chain, key) = (Source::at(chain), Source::at(key));
        let private = key
            .read(|mut pem| Ok(rustls_pemfile::private_key(&mut pem)?.unwrap()))
            .unwrap();
        let provider = aws_lc_rs::default_provider();
        let certified = CertifiedKey::from_der(vec![made.cert.der().clone()], private, &provider);
        Certificate {
            certified: Arc::new(certified.unwrap()),
            chain,
            key,
        }
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (chain, before, pipe) = (path("chain"), made(), path("pipe"));
        let mut certificate = certificate(&before, chain.clone(), path("key"));
        assert!(!certificate.has_changed());
        // Whoever reads it waits for somebody who writes.
        let made_pipe = Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made_pipe.success());
        fs::rename(&pipe, &chain).unwrap();
        let meanwhile = path("meanwhile");
        fs::write(&meanwhile, before.cert.pem()).unwrap();

        let replaced = chain.clone();
        let writer = thread::spawn(move || {
            let mut pipe = OpenOptions::new().write(true).open(&replaced).unwrap();
            fs::rename(meanwhile, replaced).unwrap();
            pipe.write_all(b"half of it").unwrap();
        });
        let error = certificate.renew().unwrap_err();
        writer.join().unwrap();
        assert!(error.to_string().starts_with("cannot read"), "{error}");

        assert!(certificate.has_changed());
        certificate.renew().unwrap();
        assert!(!certificate.has_changed());
    }
}
