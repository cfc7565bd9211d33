//! A client that has its keys in its own hands, to send what no library would.

use rustls::{
    ConnectionTrafficSecrets, ContentType, ProtocolVersion, SupportedCipherSuite,
    crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage},
};

use super::peers::{Peers, Server};

/// The client of an established connection, and the server that believes in it.
pub(super) struct Forger {
    pub(super) server: Server,
    encrypter: Box<dyn MessageEncrypter>,
    sequence: u64,
}

impl Forger {
    /// Takes the client's keys from it.
    pub(super) fn replacing_the_client_of(peers: Peers) -> Self {
        let suite = peers.client.negotiated_cipher_suite().unwrap();
        let (sequence, secrets) = peers.client.dangerous_extract_secrets().unwrap().tx;
        let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else {
            panic!("AES-256 is what both prefer");
        };
        let encrypter = match suite {
            SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, iv),
            SupportedCipherSuite::Tls12(suite) => {
                let (fixed, explicit) = iv.as_ref().split_at(4);
                suite.aead_alg.encrypter(key, fixed, explicit)
            }
        };
        let mut forger = Self {
            server: peers.server,
            encrypter,
            sequence: 0,
        };
        // Nonces are counted from the first on, whatever it was for.
        while forger.sequence < sequence {
            forger.record(ContentType::Handshake, b"Finished");
        }
        forger
    }

    /// Gives the server a record that it will decrypt.
    pub(super) fn sends(&mut self, typ: ContentType, payload: &[u8]) {
        let record = self.record(typ, payload);
        self.server.give(&record);
    }

    /// A record that the server will decrypt.
    pub(super) fn record(&mut self, typ: ContentType, payload: &[u8]) -> Vec<u8> {
        let message = OutboundPlainMessage {
            typ,
            version: ProtocolVersion::TLSv1_2,
            payload: OutboundChunks::Single(payload),
        };
        let record = self.encrypter.encrypt(message, self.sequence).unwrap();
        self.sequence += 1;
        record.encode()
    }
}
