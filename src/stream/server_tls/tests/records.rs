//! Records in any pieces, and what is kept of them.

use proptest::prelude::*;
use tokio::io::ReadBuf;

use super::{
    peers::Peers,
    settings::{Settings, each_version},
};

#[test]
fn records_may_be_split_anywhere() {
    for settings in each_version() {
        let mut peers = Peers::established(&settings);
        let mut split = 1;
        loop {
            let mut said = peers.client_encrypts(b"a");
            said.extend(peers.client_encrypts(&[b'b'; 70]));
            said.extend(peers.client_encrypts(b"cde"));
            if split == said.len() {
                break;
            }
            peers.server.give(&said[..split]);
            peers.server.give(&said[split..]);
            let expected = [&b"a"[..], &[b'b'; 70], b"cde"].concat();
            assert_eq!(peers.server.hears(), expected, "{split}");
            assert!(!peers.server.session.holds_memory());
            split += 1;
        }
        assert!(split > 100);
    }
}

#[test]
fn no_more_is_kept_than_the_beginning_of_a_record() {
    let mut peers = Peers::established(&Settings::default());
    let said = peers.client_encrypts(&[1; 40_000]);
    let (most, last) = said.split_at(said.len() - 1);

    peers.server.give(most);
    let kept = peers.server.session.incoming().len();
    assert_eq!(peers.server.heard.len(), 2 * 16_384);
    assert_eq!(kept, most.len() - 2 * (16_384 + 22));
    peers.server.give(last);
    assert_eq!(peers.server.heard, [1; 40_000]);
    assert!(!peers.server.session.holds_memory());
}

#[test]
fn what_the_reader_has_no_room_for_waits_for_it_in_order() {
    let mut peers = Peers::established(&Settings::default());
    let mut said = peers.client_encrypts(b"one");
    said.extend(peers.client_encrypts(b"two"));
    let mut room = [0; 4];
    let mut buffer = ReadBuf::new(&mut room);

    peers.server.session.receive(&mut said, &mut buffer);
    assert_eq!(buffer.filled(), b"onet");
    assert!(peers.server.session.holds_memory());
    // What comes next goes behind it, though there is room again.
    let mut said = peers.client_encrypts(b"three");
    buffer.clear();
    peers.server.session.receive(&mut said, &mut buffer);
    assert_eq!(buffer.filled(), b"");
    assert!(peers.server.session.take_plaintext(&mut buffer));
    assert_eq!(buffer.filled(), b"woth");
    buffer.clear();
    assert!(peers.server.session.take_plaintext(&mut buffer));
    assert_eq!(buffer.filled(), b"ree");
    assert!(!peers.server.session.take_plaintext(&mut buffer));
    assert!(!peers.server.session.holds_memory());
}

#[test]
fn a_server_that_cuts_its_records_small_finds_room_for_them() {
    for settings in each_version() {
        let mut server = settings.server();
        server.max_fragment_size = Some(64);
        let mut peers = Peers::new(server, settings.client());
        peers.shake_hands();
        peers.server_tells(&[5; 10_000]);
    }
}

#[test]
fn keys_are_renewed_by_both_while_they_speak() {
    let settings = Settings {
        key_limit: 5,
        ..Settings::default()
    };
    let mut peers = Peers::established(&settings);
    for round in 0..50 {
        peers.server_tells(&[round; 100]);
        let said = peers.client_encrypts(&[round; 40_000]);
        for piece in said.chunks(999) {
            peers.server.give(piece);
            // In the middle of a record, and of the key update itself.
            peers.server_tells(b"go on");
        }
        assert_eq!(peers.server.failure(), None);
        assert!(peers.server.hears() == [round; 40_000]);
    }
    assert!(!peers.server.session.holds_memory());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_said_is_heard_in_any_pieces(
        texts in prop::collection::vec((any::<bool>(), 0..30_000usize), 1..10),
        cuts in prop::collection::vec(1..20_000usize, 1..20),
        tls13 in any::<bool>(),
    ) {
        let mut peers = Peers::established(&each_version()[usize::from(tls13)]);
        let mut expected = Vec::new();
        let mut cuts = cuts.iter().cycle();
        for (number, (by_server, len)) in texts.into_iter().enumerate() {
            let text: Vec<u8> = (0..len).map(|at| (at + number) as u8).collect();
            if by_server {
                peers.server_tells(&text);
                continue;
            }
            let said = peers.client_encrypts(&text);
            expected.extend(text);
            let mut rest = &said[..];
            while !rest.is_empty() {
                let (piece, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                peers.server.give(piece);
                rest = later;
            }
        }
        prop_assert_eq!(peers.server.failure(), None);
        prop_assert!(peers.server.heard == expected);
        prop_assert!(!peers.server.session.holds_memory());
    }
}
