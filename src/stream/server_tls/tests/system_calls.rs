//! What goes to the system goes there once.

use std::{pin::pin, sync::Arc};

use futures_util::poll;
use rustls::HandshakeKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::{
    super::ServerTls,
    pair::{Tap, connect, pair, patiently},
    settings::{Settings, each_version},
};

#[tokio::test(start_paused = true)]
async fn a_message_is_one_read_and_one_write() {
    patiently(async {
        for settings in each_version() {
            let (mut client, mut ours) = pair(&settings, 200_000).await;
            for len in [1, 100, 5_000, 40_000] {
                let (reads, writes) = (ours.socket.reads, ours.socket.writes);
                client.write_all(&vec![6; len]).await.unwrap();
                client.flush().await.unwrap();
                let mut message = vec![0; 64 * 1024];
                assert_eq!(ours.read(&mut message).await.unwrap(), len);
                ours.write_all(&message[..len]).await.unwrap();
                ours.flush().await.unwrap();
                client.read_exact(&mut message[..len]).await.unwrap();
                assert_eq!(ours.socket.reads - reads, 1, "{len}");
                assert_eq!(ours.socket.writes - writes, 1, "{len}");
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_is_a_read_and_a_write_for_each_flight() {
    patiently(async {
        let [tls12, tls13] = each_version();
        // The last flight of TLS 1.3 is nothing but tickets, which wait.
        for (settings, writes) in [(tls12, 2), (tls13, 1)] {
            let (client_end, our_end) = duplex(100_000);
            let mut connecting = pin!(connect(settings.client(), client_end));
            let server = Arc::new(settings.server());
            let mut accepting = pin!(ServerTls::accept(server, Tap::on(our_end)));
            assert!(poll!(&mut connecting).is_pending());
            assert!(poll!(&mut accepting).is_pending());
            let _ = poll!(&mut connecting);
            let ours = accepting.await.unwrap();
            // One of them found nothing: over TCP that is known without asking the system.
            assert_eq!(ours.socket.reads, 3);
            assert_eq!(ours.socket.writes, writes);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn tickets_go_out_with_what_is_written_first() {
    patiently(async {
        let [_, settings] = each_version();
        let (server, client) = (Arc::new(settings.server()), settings.client());
        for visit in 0..2 {
            let (client_end, our_end) = duplex(100_000);
            let (connected, accepted) = tokio::join!(
                connect(client.clone(), client_end),
                ServerTls::accept(Arc::clone(&server), Tap::on(our_end)),
            );
            let (mut client, mut ours) = (connected.unwrap(), accepted.unwrap());
            let kind = client.get_ref().1.handshake_kind().unwrap();
            assert_eq!(kind == HandshakeKind::Resumed, visit > 0);
            assert!(ours.session.holds_memory());
            ours.flush().await.unwrap();
            assert_eq!(ours.socket.writes, 1);

            ours.write_all(b"hello").await.unwrap();
            assert_eq!(ours.socket.writes, 2);
            assert!(!ours.session.holds_memory());
            client.read_exact(&mut [0; 5]).await.unwrap();
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn tickets_go_out_with_the_end_if_nothing_is_written() {
    patiently(async {
        let [_, settings] = each_version();
        let (mut client, mut ours) = pair(&settings, 100_000).await;
        ours.shutdown().await.unwrap();
        assert_eq!(ours.socket.writes, 2);
        assert_eq!(client.read(&mut [0; 5]).await.unwrap(), 0);
        assert_eq!(client.get_ref().1.tls13_tickets_received(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn tickets_that_carry_certificates_do_not_wait() {
    patiently(async {
        let [_, tls13] = each_version();
        let settings = Settings {
            client_certificate: true,
            ..tls13
        };
        let (_client, ours) = pair(&settings, 100_000).await;
        assert!(!ours.can_wait);
        assert!(!ours.session.holds_memory());
    })
    .await;
}
