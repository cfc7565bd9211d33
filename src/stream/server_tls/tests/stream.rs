//! Bytes through the stream: whole, in order, and no more of them held than must be.

use std::{pin::pin, sync::Arc, task::Poll};

use futures_util::poll;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::{
    super::{ServerTls, session::MAX_RECORD},
    pair::{connect, pair, patiently},
    settings::{Settings, each_version},
};
use crate::stream::{Metered, Socket};

#[tokio::test(start_paused = true)]
async fn bytes_pass_both_ways_at_once_through_pipes_of_any_width() {
    patiently(async {
        for settings in each_version() {
            for (buffer, at_most) in [(1, 1), (7, 3), (1_000, 100), (100_000, usize::MAX)] {
                let (mut client, mut ours) = pair(&settings, buffer).await;
                ours.socket.at_most = at_most;
                let text: Vec<u8> = (0..=250).cycle().take(50_000).collect();
                let told = text.clone();
                let client = tokio::spawn(async move {
                    let (mut from, mut to) = tokio::io::split(&mut client);
                    let mut heard = vec![0; told.len()];
                    let talk = async {
                        to.write_all(&told).await.unwrap();
                        to.flush().await.unwrap();
                    };
                    let (heard_all, ()) = tokio::join!(from.read_exact(&mut heard), talk);
                    heard_all.unwrap();
                    heard
                });
                let (mut from, mut to) = tokio::io::split(&mut ours);
                let mut heard = vec![0; text.len()];
                let talk = async {
                    to.write_all(&text).await.unwrap();
                    to.flush().await.unwrap();
                };
                let (heard_all, ()) = tokio::join!(from.read_exact(&mut heard), talk);
                heard_all.unwrap();
                assert!(heard == text && client.await.unwrap() == text);
                assert!(!ours.session.holds_memory());
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_with_a_small_buffer_gets_every_byte() {
    patiently(async {
        let (mut client, mut ours) = pair(&Settings::default(), 100_000).await;
        client.write_all(&[9; 20_000]).await.unwrap();
        client.shutdown().await.unwrap();

        let mut heard = Vec::new();
        let mut small = [0; 7];
        loop {
            match ours.read(&mut small).await.unwrap() {
                0 => break,
                len => heard.extend_from_slice(&small[..len]),
            }
        }
        assert!(heard == [9; 20_000]);
        assert_eq!(ours.session.kept(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_idles_owns_no_memory() {
    patiently(async {
        for settings in each_version() {
            let (mut client, mut ours) = pair(&settings, 100_000).await;
            ours.write_all(b"hello").await.unwrap();
            client.read_exact(&mut [0; 5]).await.unwrap();
            client.write_all(b"hello").await.unwrap();
            ours.read_exact(&mut [0; 5]).await.unwrap();

            let mut buffer = [0; 5];
            let mut reading = pin!(ours.read(&mut buffer));
            assert!(poll!(&mut reading).is_pending());
            assert!(!ours.session.holds_memory());
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn no_more_is_taken_than_the_peer_takes_and_nothing_is_held_once_it_has() {
    patiently(async {
        let (mut client, mut ours) = pair(&Settings::default(), 10_000).await;
        let text = vec![3; 1_000_000];
        let mut taken = 0;
        while let Poll::Ready(written) = poll!(pin!(ours.write(&text[taken..]))) {
            taken += written.unwrap();
            assert!(taken < text.len(), "all of it went somewhere");
        }
        assert!(taken <= 64 * 1024, "{taken}");
        assert!(ours.session.outgoing().len() < 66 * 1024);

        let mut heard = vec![0; taken];
        let (flushed, heard_all) = tokio::join!(ours.flush(), client.read_exact(&mut heard));
        flushed.unwrap();
        heard_all.unwrap();
        assert!(heard == text[..taken]);
        assert!(!ours.session.holds_memory());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_full_socket_takes_nothing_of_is_kept() {
    patiently(async {
        let [_, settings] = each_version();
        let (mut client, mut ours) = pair(&settings, 1_000).await;
        ours.write_all(b"!").await.unwrap();
        client.read_exact(&mut [0; 1]).await.unwrap();
        // With header, type and tag it fills the pipe to the last byte.
        ours.write_all(&[1; 1_000 - 22]).await.unwrap();
        assert!(!ours.session.holds_memory());

        ours.write_all(b"more").await.unwrap();
        assert!(ours.session.holds_memory());
        let mut heard = [0; 1_000 - 22 + 4];
        let (flushed, heard_all) = tokio::join!(ours.flush(), client.read_exact(&mut heard));
        flushed.unwrap();
        heard_all.unwrap();
        assert!(heard.ends_with(b"more"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_slow_has_no_more_kept_for_it_than_a_record() {
    patiently(async {
        let (mut client, mut ours) = pair(&Settings::default(), 1_000_000).await;
        client.write_all(&[4; 500_000]).await.unwrap();

        let mut heard = 0;
        while heard < 500_000 {
            heard += ours.read(&mut [0; 100]).await.unwrap();
            assert!(ours.session.kept() <= MAX_RECORD, "{}", ours.session.kept());
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_for_a_reader_without_room_and_nothing_written_of_nothing() {
    patiently(async {
        let (mut client, mut ours) = pair(&Settings::default(), 1_000).await;
        client.write_all(b"hello").await.unwrap();
        ours.flush().await.unwrap();
        let (reads, writes) = (ours.socket.reads, ours.socket.writes);

        assert_eq!(ours.read(&mut []).await.unwrap(), 0);
        assert_eq!(ours.write(&[]).await.unwrap(), 0);
        assert_eq!((ours.socket.reads, ours.socket.writes), (reads, writes));
        ours.read_exact(&mut [0; 5]).await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_lie_within_another() {
    patiently(async {
        let settings = Settings::default();
        let (outer_client, outer) = pair(&settings, 10_000).await;
        let (mut client, mut ours) = {
            let name = "one.test".try_into().unwrap();
            let connector = tokio_rustls::TlsConnector::from(Arc::new(settings.client()));
            let server = Arc::new(settings.server());
            let (client, ours) = tokio::join!(
                connector.connect(name, outer_client),
                ServerTls::accept(server, outer),
            );
            (client.unwrap(), ours.unwrap())
        };

        client.write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        ours.read_exact(&mut heard).await.unwrap();
        ours.write_all(&heard).await.unwrap();
        ours.flush().await.unwrap();
        client.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_a_little_is_known_to_take() {
    patiently(async {
        let settings = Settings::default();
        let (client_end, our_end) = duplex(1_000);
        let server = Arc::new(settings.server());
        let (client, ours) = tokio::join!(
            connect(settings.client(), client_end),
            ServerTls::accept(server, Metered::new(our_end)),
        );
        let (mut client, mut ours) = (client.unwrap(), ours.unwrap());
        ours.write_all(&[2; 50_000]).await.unwrap();
        ours.has_taken();

        for _ in 0..10 {
            assert!(poll!(pin!(ours.flush())).is_pending());
            assert!(!ours.has_taken());
            // No whole record, and we have not got rid of all.
            let (socket, _) = client.get_mut();
            socket.read_exact(&mut [0; 100]).await.unwrap();
            assert!(poll!(pin!(ours.flush())).is_pending());
            assert!(ours.has_taken());
        }
    })
    .await;
}
