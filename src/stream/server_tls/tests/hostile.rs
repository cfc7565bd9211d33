//! Peers that break the rules: an error or a clean stream, never anything else.

use std::io::ErrorKind;

use bytes::BytesMut;
use proptest::prelude::*;
use rustls::ContentType;
use tokio::io::ReadBuf;

use super::{
    super::session::MAX_KEPT,
    forger::Forger,
    peers::Peers,
    settings::{Settings, each_version},
};

const ALERT: u8 = 0x15;
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];
const KEY_UPDATE_REQUEST: [u8; 5] = [24, 0, 0, 1, 1];

#[test]
fn garbage_is_answered_with_an_alert_and_heard_no_more() {
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x16\x03\x01\x00\x04\xff\x00\x00\x00",
        b"\x16\x03\x01\xff\xff\x00\x00\x00",
        b"\x17\x03\x03\x00\x02\x00\x00",
    ] {
        let settings = Settings::default();
        let mut peers = Peers::new(settings.server(), settings.client());
        peers.server.give(garbage);
        assert!(peers.server.failure().is_some());
        let answer = peers.server.says();
        assert_eq!(answer[0], ALERT, "{answer:?}");
        assert!(!peers.server.session.holds_memory());
    }
}

#[test]
fn a_forged_record_is_answered_with_an_alert_and_nothing_is_said_after_it() {
    for settings in each_version() {
        let mut peers = Peers::established(&settings);
        let mut said = peers.client_encrypts(b"true");
        let mut forged = peers.client_encrypts(b"false");
        *forged.last_mut().unwrap() ^= 1;
        said.append(&mut forged);

        peers.server.give(&said);
        assert_eq!(peers.server.heard, b"true");
        assert!(peers.server.failure().unwrap().contains("decrypt"));
        let mut answer = &peers.server.says()[..];
        peers.client.read_tls(&mut answer).unwrap();
        let told = peers.client.process_new_packets().unwrap_err();
        assert_eq!(told.to_string(), "received fatal alert: BadRecordMac");
        let mut tls = BytesMut::new();
        assert!(
            peers
                .server
                .session
                .encrypt(b"too late", &mut tls, 0)
                .is_err()
        );
        peers.server.session.close();
        assert_eq!(peers.server.session.outgoing(), b"");
    }
}

#[test]
fn a_fatal_alert_ends_the_connection_without_an_answer() {
    let mut forger = Forger::replacing_the_client_of(Peers::established(&Settings::default()));
    forger.sends(ContentType::Alert, &[2, 80]);
    assert!(forger.server.failure().unwrap().contains("InternalError"));
    assert_eq!(forger.server.session.outgoing(), b"");
}

#[test]
fn a_flood_of_empty_records_is_cut_short() {
    for settings in each_version() {
        let mut forger = Forger::replacing_the_client_of(Peers::established(&settings));
        let few: Vec<u8> = (0..30)
            .flat_map(|_| forger.record(ContentType::ApplicationData, b""))
            .collect();
        forger.server.give(&few);
        forger.sends(ContentType::ApplicationData, b"at last");
        assert_eq!(forger.server.heard, b"at last");

        let many: Vec<u8> = (0..40)
            .flat_map(|_| forger.record(ContentType::ApplicationData, b""))
            .collect();
        forger.server.give(&many);
        assert!(
            forger
                .server
                .failure()
                .unwrap()
                .contains("TooManyEmptyFragments")
        );
    }
}

#[test]
fn keys_are_renewed_when_the_peer_renews_its_own_or_asks_for_it() {
    // Its keys are new then, and the forger has but the old ones: once is all that it can do.
    for update in [KEY_UPDATE, KEY_UPDATE_REQUEST] {
        let mut forger = Forger::replacing_the_client_of(Peers::established(&Settings::default()));
        // In two records, with something written between them.
        forger.sends(ContentType::Handshake, &update[..2]);
        let before = forger.server.length_of(b"said");
        forger.sends(ContentType::Handshake, &update[2..]);
        assert_eq!(forger.server.failure(), None);
        assert!(!forger.server.session.holds_memory());

        let answer = forger.server.length_of(b"said") - before;
        assert_eq!(answer > 0, update == KEY_UPDATE_REQUEST);
        // The old keys are of no use any more.
        forger.sends(ContentType::ApplicationData, b"stale");
        assert!(forger.server.failure().unwrap().contains("decrypt"));
    }
}

#[test]
fn a_handshake_message_between_two_halves_of_another_is_refused() {
    let mut forger = Forger::replacing_the_client_of(Peers::established(&Settings::default()));
    forger.sends(ContentType::Handshake, &KEY_UPDATE[..2]);
    forger.sends(ContentType::ApplicationData, b"hello");
    assert!(forger.server.failure().is_some());
    assert_eq!(forger.server.heard, b"");
}

#[test]
fn a_handshake_message_without_end_is_not_kept_for_ever() {
    for size in [1, 100, 16_000] {
        let mut forger = Forger::replacing_the_client_of(Peers::established(&Settings::default()));
        forger.sends(ContentType::Handshake, &[24, 0, 0xff, 0xff]);
        let mut sent = 0;
        while forger.server.failure().is_none() {
            forger.sends(ContentType::Handshake, &vec![0; size]);
            sent += 1;
            assert!(sent < 100_000, "it is kept for ever");
            assert!(forger.server.session.incoming().len() <= MAX_KEPT);
        }
        forger.server.says();
        assert!(!forger.server.session.holds_memory());
    }
}

#[test]
fn renegotiation_is_declined_and_then_refused() {
    let [tls12, _] = each_version();
    let mut forger = Forger::replacing_the_client_of(Peers::established(&tls12));
    // No more than its beginning is looked at.
    let mut client_hello = vec![1, 0, 0, 43, 3, 3];
    client_hello.resize(6 + 32, 7);
    client_hello.extend([0, 0, 2, 0xc0, 0x2c, 1, 0, 0, 0]);

    forger.sends(ContentType::Handshake, &client_hello);
    assert_eq!(forger.server.failure(), None);
    assert_eq!(forger.server.says()[0], ALERT);
    forger.sends(ContentType::ApplicationData, b"well then");
    assert_eq!(forger.server.heard, b"well then");
    forger.sends(ContentType::Handshake, &client_hello);
    assert!(forger.server.failure().unwrap().contains("Renegotiation"));
}

#[test]
fn what_follows_close_notify_is_not_heard() {
    for settings in each_version() {
        let mut peers = Peers::established(&settings);
        let mut said = peers.client_encrypts(b"last");
        peers.client.send_close_notify();
        said.extend(peers.client_says());
        said.extend(b"whatever it may be");

        peers.server.give(&said);
        assert_eq!(peers.server.heard, b"last");
        assert!(matches!(peers.server.session.end_of_input(), Some(Ok(()))));
        assert!(!peers.server.session.holds_memory());
        // Half a connection is left, and then nothing.
        peers.server_tells(b"good-bye");
        peers.server.session.close();
        peers.server.session.close();
        assert!(peers.server_answers(usize::MAX));
        assert!(!peers.server_answers(usize::MAX));
        let state = peers.client.process_new_packets().unwrap();
        assert!(state.peer_has_closed());
    }
}

#[test]
fn bytes_after_our_own_close_notify_are_heard_be_they_good_or_bad() {
    for settings in each_version() {
        let mut peers = Peers::established(&settings);
        peers.server.session.close();
        peers.server.says();
        let refused = peers
            .server
            .session
            .encrypt(b"one more thing", &mut BytesMut::new(), 0);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let said = peers.client_encrypts(b"still here");
        peers.server.give(&said);
        assert_eq!(peers.server.heard, b"still here");
        peers.server.give(&[0xff; 40]);
        assert!(peers.server.failure().is_some());
    }
}

/// A spoilt byte: how far into the client's bytes it is, and what is done to it.
fn spoilt() -> impl Strategy<Value = (f64, u8)> {
    (0.0..1.0, 1..=255u8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_spoilt_handshake_fails_or_never_ends_and_nothing_is_heard(
        (place, change) in spoilt(),
        flight in 0..2usize,
        size in 1..300usize,
        tls13 in any::<bool>(),
    ) {
        let settings = &each_version()[usize::from(tls13)];
        let mut peers = Peers::new(settings.server(), settings.client());
        for now in 0..2 {
            let mut said = peers.client_says();
            if now == flight {
                let at = (said.len() as f64 * place) as usize;
                said[at] ^= change;
            }
            for piece in said.chunks(size) {
                if peers.server.failure().is_none() {
                    peers.server.give(piece);
                }
            }
            let answer = peers.server.says();
            let _ = peers.client.read_tls(&mut &answer[..]);
            if peers.client.process_new_packets().is_err() {
                break;
            }
        }
        prop_assert!(peers.server.heard.is_empty());
        // A byte that means nothing may be changed: the record's version, for one.
        if peers.server.failure().is_some() {
            let mut tls = BytesMut::new();
            prop_assert!(peers.server.session.encrypt(b"text", &mut tls, 0).is_err());
        }
    }

    #[test]
    fn of_a_spoilt_stream_no_more_is_heard_than_its_beginning(
        (place, change) in spoilt(),
        texts in prop::collection::vec(1..5_000usize, 1..5),
        size in 1..20_000usize,
        tls13 in any::<bool>(),
    ) {
        let mut peers = Peers::established(&each_version()[usize::from(tls13)]);
        let mut expected = Vec::new();
        let mut said = Vec::new();
        for (number, len) in texts.into_iter().enumerate() {
            let text = vec![number as u8; len];
            said.extend(peers.client_encrypts(&text));
            expected.extend(text);
        }
        let at = (said.len() as f64 * place) as usize;
        said[at] ^= change;
        for piece in said.chunks(size) {
            if peers.server.failure().is_none() {
                peers.server.give(piece);
            }
        }
        prop_assert!(expected.starts_with(&peers.server.heard));
    }

    #[test]
    fn noise_is_never_heard(noise in prop::collection::vec(any::<u8>(), 0..500), size in 1..500usize) {
        for established in [false, true] {
            let settings = Settings::default();
            let mut peers = Peers::new(settings.server(), settings.client());
            if established {
                peers.shake_hands();
            }
            for piece in noise.chunks(size) {
                if peers.server.failure().is_none() {
                    peers.server.give(piece);
                }
            }
            prop_assert!(peers.server.heard.is_empty());
        }
    }
}

#[test]
fn a_reader_without_room_loses_nothing() {
    let mut peers = Peers::established(&Settings::default());
    let mut said = peers.client_encrypts(b"hello");
    peers
        .server
        .session
        .receive(&mut said, &mut ReadBuf::new(&mut []));
    peers.server.give(b"");
    assert_eq!(peers.server.heard, b"hello");
}
