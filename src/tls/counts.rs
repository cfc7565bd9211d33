//! What is counted of TLS handshakes.

use std::io;

use rustls::{AlertDescription, Error};

use super::tls_error;
use crate::{
    metrics::{Count, Counter},
    stream::Handshake,
};

/// What is counted of TLS handshakes on one side.
#[derive(Debug, Default)]
pub struct Counts {
    completed: [Counter; KINDS.len()],
    failed: [Counter; FAILURES.len()],
}

/// What was counted of TLS handshakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Those that were completed, by what they came to.
    pub completed: [(Handshake, u64); KINDS.len()],
    /// Those that were not, by why.
    pub failed: [(Failure, u64); FAILURES.len()],
}

/// Why a TLS handshake was not completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It took too long.
    TimedOut,
    /// The peer does not speak TLS.
    NotTls,
    /// There is no version, cipher or the like that both sides have.
    Incompatible,
    /// A certificate was refused: ours by the peer, or the peer's by us.
    Certificate,
    /// The peer has left.
    Gone,
    /// Anything else.
    Other,
}

/// What a handshake may come to.
const KINDS: [Handshake; 4] = {
    const fn kind(is_tls13: bool, is_resumed: bool) -> Handshake {
        Handshake {
            is_tls13,
            is_resumed,
        }
    }
    [
        kind(false, false),
        kind(false, true),
        kind(true, false),
        kind(true, true),
    ]
};

const FAILURES: [Failure; 6] = [
    Failure::TimedOut,
    Failure::NotTls,
    Failure::Incompatible,
    Failure::Certificate,
    Failure::Gone,
    Failure::Other,
];

impl Counts {
    /// One was completed.
    pub fn completed(&self, handshake: Handshake) {
        let all = KINDS.iter().zip(&self.completed);
        all.filter(|(kind, _)| **kind == handshake)
            .for_each(|(_, count)| count.add(1));
    }

    /// One was not.
    pub fn failed(&self, failure: Failure) {
        let all = FAILURES.iter().zip(&self.failed);
        all.filter(|(own, _)| **own == failure)
            .for_each(|(_, count)| count.add(1));
    }

    /// What was counted so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals {
            completed: KINDS.map(|kind| (kind, 0)),
            failed: FAILURES.map(|failure| (failure, 0)),
        };
        for ((_, total), count) in totals.completed.iter_mut().zip(&self.completed) {
            *total = count.value();
        }
        for ((_, total), count) in totals.failed.iter_mut().zip(&self.failed) {
            *total = count.value();
        }
        totals
    }
}

impl Failure {
    /// Why a handshake has failed with that `error`.
    #[must_use]
    pub fn of(error: &io::Error) -> Self {
        match tls_error(error) {
            Some(error) => Self::of_tls(error),
            None => match error.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe => Self::Gone,
                io::ErrorKind::TimedOut => Self::TimedOut,
                _ => Self::Other,
            },
        }
    }

    fn of_tls(error: &Error) -> Self {
        use AlertDescription as Alert;
        match error {
            Error::InvalidMessage(_) => Self::NotTls,
            Error::PeerIncompatible(_)
            | Error::AlertReceived(
                Alert::HandshakeFailure | Alert::ProtocolVersion | Alert::InsufficientSecurity,
            ) => Self::Incompatible,
            Error::InvalidCertificate(_)
            | Error::NoCertificatesPresented
            | Error::AlertReceived(
                Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA,
            ) => Self::Certificate,
            _ => Self::Other,
        }
    }

    /// As it is called in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TimedOut => "timed_out",
            Self::NotTls => "not_tls",
            Self::Incompatible => "incompatible",
            Self::Certificate => "certificate",
            Self::Gone => "gone",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::{CertificateError, InvalidMessage, PeerIncompatible};

    use super::*;

    fn failure(error: Error) -> Failure {
        Failure::of(&io::Error::new(io::ErrorKind::InvalidData, error))
    }

    #[test]
    fn a_handshake_fails_for_one_of_a_few_reasons() {
        use AlertDescription as Alert;
        for (error, expected) in [
            (
                Error::InvalidMessage(InvalidMessage::InvalidContentType),
                Failure::NotTls,
            ),
            (
                Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
                Failure::Incompatible,
            ),
            (
                Error::AlertReceived(Alert::ProtocolVersion),
                Failure::Incompatible,
            ),
            (Error::AlertReceived(Alert::UnknownCA), Failure::Certificate),
            (
                Error::InvalidCertificate(CertificateError::Expired),
                Failure::Certificate,
            ),
            (Error::AlertReceived(Alert::InternalError), Failure::Other),
        ] {
            assert_eq!(failure(error.clone()), expected, "{error}");
        }
        let gone = Failure::of(&io::ErrorKind::UnexpectedEof.into());
        assert_eq!(gone, Failure::Gone);
    }
}
