//! Handshakes of every kind, in any pieces.

use std::{io::Write, sync::Arc};

use rustls::{
    HandshakeKind, ProtocolVersion, crypto::aws_lc_rs::kx_group, server::ServerSessionMemoryCache,
};

use super::{
    peers::Peers,
    settings::{Settings, each_version},
};

#[test]
fn a_handshake_may_be_split_anywhere() {
    for settings in each_version() {
        let server = Arc::new(settings.server());
        for flight in 0..2 {
            let lengths = (1..).map_while(|split| {
                let mut peers = Peers::sharing(&server, &Arc::new(settings.client()));
                let length = shake_hands_splitting(&mut peers, flight, split)?;
                assert!(!peers.server.session.is_handshaking(), "{flight} {split}");
                assert!(!peers.client.is_handshaking(), "{flight} {split}");
                assert!(!peers.server.session.holds_memory(), "{flight} {split}");
                Some(length)
            });
            assert!(lengths.count() > 50);
        }
    }
}

/// A handshake in which one flight of the client's arrives in two pieces. Says how long that
/// flight is, or nothing if it is too short to be split there.
fn shake_hands_splitting(peers: &mut Peers, flight: usize, split: usize) -> Option<usize> {
    let mut length = None;
    for now in 0..2 {
        let said = peers.client_says();
        let mut at = said.len();
        if now == flight {
            length = Some(said.len()).filter(|length| split < *length);
            at = split.min(at);
        }
        peers.server.give(&said[..at]);
        peers.server.give(&said[at..]);
        peers.server_answers(usize::MAX);
    }
    length
}

#[test]
fn handshakes_of_all_kinds_succeed_whole_and_in_crumbs() {
    let [tls12, tls13] = each_version();
    let retried = Settings {
        client_groups: vec![kx_group::X25519, kx_group::SECP256R1],
        server_groups: vec![kx_group::SECP256R1],
        ..tls13.clone()
    };
    let post_quantum = Settings {
        client_groups: vec![kx_group::X25519MLKEM768],
        server_groups: vec![kx_group::X25519MLKEM768],
        ..tls13.clone()
    };
    for settings in [tls12, tls13, retried, post_quantum] {
        for client_certificate in [false, true] {
            let settings = Settings {
                client_certificate,
                ..settings.clone()
            };
            for size in [1, 2, 3, 100, usize::MAX] {
                let mut peers = Peers::new(settings.server(), settings.client());
                peers.exchange(size);
                assert!(!peers.server.session.is_handshaking());
                assert_eq!(peers.client.alpn_protocol(), Some(&b"http/1.1"[..]));
                let said = peers.client_encrypts(b"hello");
                peers.server.give(&said);
                assert_eq!(peers.server.heard, b"hello");
                peers.server_tells(b"good day");
                assert!(!peers.server.session.holds_memory());
            }
        }
    }
}

#[test]
fn a_client_that_guesses_the_wrong_group_is_asked_again() {
    let [_, tls13] = each_version();
    let settings = Settings {
        client_groups: vec![kx_group::X25519, kx_group::SECP256R1],
        server_groups: vec![kx_group::SECP256R1],
        ..tls13
    };
    let peers = Peers::established(&settings);
    let kind = peers.client.handshake_kind();
    assert_eq!(kind, Some(HandshakeKind::FullWithHelloRetryRequest));
}

#[test]
fn what_a_client_sends_right_behind_its_handshake_is_kept_for_the_reader() {
    for settings in each_version() {
        let mut peers = Peers::new(settings.server(), settings.client());
        peers.client.writer().write_all(&[7; 1000]).unwrap();
        peers.shake_hands();
        assert_eq!(peers.server.heard, [7; 1000]);
    }
}

#[test]
fn a_client_is_resumed_by_its_ticket() {
    for settings in each_version() {
        let (server, client) = (Arc::new(settings.server()), Arc::new(settings.client()));
        for visit in 0..20 {
            let mut peers = Peers::sharing(&server, &client);
            peers.shake_hands();
            let resumed = peers.client.handshake_kind() == Some(HandshakeKind::Resumed);
            assert_eq!(resumed, visit > 0);
            let version = peers.client.protocol_version();
            assert_eq!(
                peers.server.session.ends_the_handshake(),
                version == Some(ProtocolVersion::TLSv1_2)
            );
        }
    }
}

#[test]
fn early_data_is_not_heard_and_its_sender_is_served_all_the_same() {
    let [_, settings] = each_version();
    // Another server takes early data. What it promises is not ours to keep.
    let mut careless = settings.server();
    careless.ticketer = Arc::new(NoTickets);
    careless.session_storage = ServerSessionMemoryCache::new(10);
    careless.max_early_data_size = 1000;
    let (careless, ours) = (Arc::new(careless), Arc::new(settings.server()));
    let mut client = settings.client();
    client.enable_early_data = true;
    let client = Arc::new(client);
    Peers::sharing(&careless, &client).shake_hands();

    let mut peers = Peers::sharing(&ours, &client);
    let mut early = peers.client.early_data().unwrap();
    early.write_all(b"give me all the money").unwrap();
    peers.shake_hands();
    assert!(!peers.client.is_early_data_accepted());
    let said = peers.client_encrypts(b"hello");
    peers.server.give(&said);
    assert_eq!(peers.server.heard, b"hello");
}

#[test]
fn early_data_is_refused_even_where_the_configuration_takes_it() {
    let [_, settings] = each_version();
    let mut server = settings.server();
    server.ticketer = Arc::new(NoTickets);
    server.session_storage = ServerSessionMemoryCache::new(10);
    server.max_early_data_size = 1000;
    let server = Arc::new(server);
    let mut client = settings.client();
    client.enable_early_data = true;
    let client = Arc::new(client);
    Peers::sharing(&server, &client).shake_hands();

    let mut peers = Peers::sharing(&server, &client);
    let mut early = peers.client.early_data().unwrap();
    early.write_all(b"give me all the money").unwrap();
    let said = peers.client_says();
    peers.server.give(&said);
    assert!(peers.server.failure().is_some());
    assert_eq!(peers.server.heard, b"");
}

/// Sessions are kept instead.
#[derive(Debug)]
struct NoTickets;

impl rustls::server::ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}
