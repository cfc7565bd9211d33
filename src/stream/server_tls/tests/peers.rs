//! A client of rustls' and a session of ours, with the test as the wire between them.

use std::{
    io::{Read, Write},
    mem,
    sync::Arc,
};

use bytes::BytesMut;
use rustls::{ClientConfig, ClientConnection, ServerConfig};
use tokio::io::ReadBuf;

use super::{super::session::Session, settings::Settings};

/// Both ends of a connection.
pub(super) struct Peers {
    pub(super) client: ClientConnection,
    pub(super) server: Server,
}

/// A session, and what it has decrypted.
pub(super) struct Server {
    pub(super) session: Session,
    pub(super) heard: Vec<u8>,
}

impl Peers {
    pub(super) fn new(server: ServerConfig, client: ClientConfig) -> Self {
        Self::sharing(&Arc::new(server), &Arc::new(client))
    }

    pub(super) fn sharing(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> Self {
        let name = "one.test".try_into().unwrap();
        Self {
            client: ClientConnection::new(Arc::clone(client), name).unwrap(),
            server: Server {
                session: Session::new(Arc::clone(server)).unwrap(),
                heard: Vec::new(),
            },
        }
    }

    /// The same after the handshake.
    pub(super) fn established(settings: &Settings) -> Self {
        let mut peers = Self::new(settings.server(), settings.client());
        peers.shake_hands();
        peers
    }

    pub(super) fn shake_hands(&mut self) {
        self.exchange(usize::MAX);
        assert!(!self.server.session.is_handshaking() && !self.client.is_handshaking());
    }

    /// Carries what both have to say, in pieces of at most `size` bytes, until they are silent.
    pub(super) fn exchange(&mut self, size: usize) {
        loop {
            let said = self.client_says();
            for piece in said.chunks(size) {
                self.server.give(piece);
            }
            if !self.server_answers(size) && said.is_empty() {
                break;
            }
        }
    }

    /// What the client has to send.
    pub(super) fn client_says(&mut self) -> Vec<u8> {
        let mut tls = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut tls).unwrap();
        }
        tls
    }

    /// What the client has to send once it has been told `text`.
    pub(super) fn client_encrypts(&mut self, text: &[u8]) -> Vec<u8> {
        self.client.writer().write_all(text).unwrap();
        self.client_says()
    }

    /// Takes what the server has to say to the client. False if that was nothing.
    pub(super) fn server_answers(&mut self, size: usize) -> bool {
        let tls = self.server.says();
        for piece in tls.chunks(size) {
            self.client_takes(piece);
        }
        !tls.is_empty()
    }

    /// Has the server say `text`, and the client hear it.
    pub(super) fn server_tells(&mut self, text: &[u8]) {
        let mut tls = BytesMut::new();
        let end = self.server.session.encrypt(text, &mut tls, 0).unwrap();
        self.client_takes(&tls[..end]);
        let mut heard = vec![0; text.len()];
        self.client.reader().read_exact(&mut heard).unwrap();
        assert!(heard == text);
    }

    fn client_takes(&mut self, mut tls: &[u8]) {
        while !tls.is_empty() {
            self.client.read_tls(&mut tls).unwrap();
            self.client.process_new_packets().unwrap();
        }
    }
}

impl Server {
    /// Gives it bytes. It decrypts into a small buffer, so some of it is kept at first.
    pub(super) fn give(&mut self, tls: &[u8]) {
        let mut buffer = [0; 50];
        let mut buffer = ReadBuf::new(&mut buffer);
        let mut tls = [self.session.incoming(), tls].concat();
        self.session.receive(&mut tls, &mut buffer);
        self.heard.extend_from_slice(buffer.filled());
        buffer.clear();
        while self.session.take_plaintext(&mut buffer) {
            self.heard.extend_from_slice(buffer.filled());
            buffer.clear();
        }
    }

    /// What it has decrypted since this was last asked.
    pub(super) fn hears(&mut self) -> Vec<u8> {
        mem::take(&mut self.heard)
    }

    /// What it has to send.
    pub(super) fn says(&mut self) -> Vec<u8> {
        let tls = self.session.outgoing().to_vec();
        self.session.sent(tls.len());
        tls
    }

    /// How many bytes it sends to say `text`.
    pub(super) fn length_of(&mut self, text: &[u8]) -> usize {
        let mut tls = BytesMut::new();
        self.session.encrypt(text, &mut tls, 0).unwrap()
    }

    /// Why it hears no more, if that is so.
    pub(super) fn failure(&self) -> Option<String> {
        match self.session.end_of_input() {
            Some(Err(error)) => Some(error.to_string()),
            _ => None,
        }
    }
}
