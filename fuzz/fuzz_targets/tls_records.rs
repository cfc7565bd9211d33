//! Any records, well encrypted with the client's own keys.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use longwire_fuzz::{CLIENTS, Input, Pipe, Server};
use rustls::{
    ClientConnection, ConnectionTrafficSecrets, ContentType, ProtocolVersion, SupportedCipherSuite,
    crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage},
};

/// What the client of an established connection could encrypt.
struct Forger {
    encrypter: Box<dyn MessageEncrypter>,
    sequence: u64,
}

impl Forger {
    fn with_the_keys_of(client: ClientConnection) -> Self {
        let suite = client.negotiated_cipher_suite().unwrap();
        let (sequence, secrets) = client.dangerous_extract_secrets().unwrap().tx;
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
            encrypter,
            sequence: 0,
        };
        // Nonces are counted from the first on, whatever it was for.
        while forger.sequence < sequence {
            forger.record(ContentType::Handshake, b"Finished");
        }
        forger
    }

    fn record(&mut self, typ: ContentType, payload: &[u8]) -> Vec<u8> {
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

/// An established connection whose client is gone.
fn establish(client: usize) -> (Forger, Server, Pipe) {
    let pipe = Pipe::default();
    let mut server = Server::over(&pipe);
    let name = "one.test".try_into().unwrap();
    let mut client = ClientConnection::new(Arc::clone(&CLIENTS[client]), name).unwrap();
    while !server.is_established() || client.is_handshaking() {
        let mut tls = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut tls).unwrap();
        }
        pipe.give(&tls);
        pipe.make_room(1 << 20);
        server.shake_hands();
        let tls = pipe.take_written();
        client.read_tls(&mut &tls[..]).unwrap();
        client.process_new_packets().unwrap();
    }
    (Forger::with_the_keys_of(client), server, pipe)
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let (mut forger, mut server, pipe) = establish(usize::from(input.byte() % 2));
    let mut said = Vec::new();
    while !input.is_used_up() {
        match input.byte() % 8 {
            0 => server.read(input.length()),
            1 => drop(server.write(input.length())),
            2 => drop(server.flush()),
            3 => server.shut_down(),
            _ => {
                let typ = match input.byte() % 6 {
                    0 | 1 => ContentType::Handshake,
                    2 => ContentType::Alert,
                    3 => ContentType::ChangeCipherSpec,
                    4 => ContentType::ApplicationData,
                    // Zero would be padding, and the type would lie somewhere in the payload.
                    _ => ContentType::from(input.byte().max(1)),
                };
                let length = input.length();
                let payload = input.take(length.min(1 << 14));
                let record = forger.record(typ, payload);
                if typ == ContentType::ApplicationData {
                    said.extend_from_slice(payload);
                }
                let (begin, end) = record.split_at(usize::from(input.byte()) % record.len());
                pipe.give(begin);
                server.read(1000);
                pipe.give(end);
                server.read(1000);
            }
        }
    }
    pipe.end();
    server.read(1 << 16);
    assert!(said.starts_with(&server.heard));
});
