//! How a connection ends, well or badly, from either side.

use std::io::ErrorKind;

use futures_util::poll;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::{Duration, timeout},
};

use super::{
    super::ServerTls,
    pair::{Tap, connect, pair, patiently},
    settings::{Settings, each_version},
};

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_can_still_be_written_to() {
    patiently(async {
        for settings in each_version() {
            let (mut client, mut ours) = pair(&settings, 10_000).await;
            client.write_all(b"last").await.unwrap();
            client.shutdown().await.unwrap();

            let mut heard = Vec::new();
            ours.read_to_end(&mut heard).await.unwrap();
            assert_eq!(heard, b"last");
            assert_eq!(ours.read(&mut [0; 9]).await.unwrap(), 0);
            ours.write_all(b"answer").await.unwrap();
            ours.shutdown().await.unwrap();
            heard.clear();
            client.read_to_end(&mut heard).await.unwrap();
            assert_eq!(heard, b"answer");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_that_we_close_can_still_be_heard() {
    patiently(async {
        for settings in each_version() {
            let (mut client, mut ours) = pair(&settings, 10_000).await;
            ours.shutdown().await.unwrap();
            assert_eq!(client.read(&mut [0; 9]).await.unwrap(), 0);
            client.write_all(b"answer").await.unwrap();
            client.shutdown().await.unwrap();

            let mut heard = Vec::new();
            ours.read_to_end(&mut heard).await.unwrap();
            assert_eq!(heard, b"answer");
            let refused = ours.write_all(b"too late").await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::BrokenPipe);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn we_say_once_that_we_close_however_often_we_are_told_to() {
    patiently(async {
        let (client, mut ours) = pair(&Settings::default(), 10_000).await;
        ours.flush().await.unwrap();
        ours.shutdown().await.unwrap();
        let writes = ours.socket.writes;
        ours.shutdown().await.unwrap();
        ours.flush().await.unwrap();
        assert_eq!(ours.socket.writes, writes);

        let (mut socket, _) = client.into_inner();
        let mut tls = Vec::new();
        socket.read_to_end(&mut tls).await.unwrap();
        // Tickets, and a close_notify of 24 bytes: a header, level, description, type and tag.
        assert_eq!(
            &tls[tls.len() - 24..tls.len() - 19],
            b"\x17\x03\x03\x00\x13"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_close_waits_for_what_was_written_before_it() {
    patiently(async {
        let (mut client, mut ours) = pair(&Settings::default(), 1_000).await;
        let written = ours.write(&[8; 60_000]).await.unwrap();
        assert_eq!(written, 60_000);
        let mut closing = std::pin::pin!(ours.shutdown());
        assert!(poll!(&mut closing).is_pending());

        let mut heard = Vec::new();
        let (closed, heard_all) = tokio::join!(closing, client.read_to_end(&mut heard));
        closed.unwrap();
        heard_all.unwrap();
        assert!(heard == [8; 60_000]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_end_without_close_notify_is_unexpected() {
    patiently(async {
        for settings in each_version() {
            let (mut client, mut ours) = pair(&settings, 10_000).await;
            client.write_all(b"last").await.unwrap();
            drop(client.into_inner());

            let mut heard = [0; 9];
            assert_eq!(ours.read(&mut heard).await.unwrap(), 4);
            for _ in 0..2 {
                let end = ours.read(&mut heard).await.unwrap_err();
                assert_eq!(end.kind(), ErrorKind::UnexpectedEof);
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn so_is_one_inside_a_record_or_inside_the_handshake() {
    patiently(async {
        let (client, mut ours) = pair(&Settings::default(), 10_000).await;
        let (mut socket, _) = client.into_inner();
        socket.write_all(b"\x17\x03\x03\x00\x30half").await.unwrap();
        drop(socket);
        let end = ours.read(&mut [0; 9]).await.unwrap_err();
        assert_eq!(end.kind(), ErrorKind::UnexpectedEof);
        assert!(!ours.session.holds_memory() || ours.can_wait);

        let (mut client, ours) = duplex(10_000);
        client.write_all(b"\x16\x03\x01\x02\x00half").await.unwrap();
        drop(client);
        let server = Settings::default().server().into();
        let end = ServerTls::accept(server, Tap::on(ours)).await.unwrap_err();
        assert_eq!(end.kind(), ErrorKind::UnexpectedEof);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_speaks_no_tls_is_alerted_and_left() {
    patiently(async {
        let (mut client, ours) = duplex(10_000);
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let server = Settings::default().server().into();
        let refused = ServerTls::accept(server, Tap::on(ours)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidData);

        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"\x15\x03\x03\x00\x02\x02\x32", "decode_error");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_we_have_nothing_in_common_with_is_told_so() {
    patiently(async {
        let [tls12, tls13] = each_version();
        let (client, ours) = duplex(10_000);
        let (refused, left) = tokio::join!(
            connect(tls12.client(), client),
            ServerTls::accept(tls13.server().into(), Tap::on(ours)),
        );
        assert!(refused.unwrap_err().to_string().contains("ProtocolVersion"));
        assert_eq!(left.unwrap_err().kind(), ErrorKind::InvalidData);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_said_before_garbage_is_heard_and_the_garbage_alerted() {
    patiently(async {
        let (mut client, mut ours) = pair(&Settings::default(), 10_000).await;
        client.write_all(b"sense").await.unwrap();
        let (socket, _) = client.get_mut();
        socket.write_all(&[0xff; 20]).await.unwrap();

        let mut heard = [0; 9];
        assert_eq!(ours.read(&mut heard).await.unwrap(), 5);
        for _ in 0..2 {
            let end = ours.read(&mut heard).await.unwrap_err();
            assert_eq!(end.kind(), ErrorKind::InvalidData);
        }
        let refused = ours.write(b"more").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::BrokenPipe);
        let told = client.read(&mut heard).await.unwrap_err();
        assert!(told.to_string().contains("DecodeError"), "{told}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_can_be_given_up() {
    patiently(async {
        let (mut client, ours) = duplex(10_000);
        client.write_all(b"\x16\x03\x01").await.unwrap();
        let server = Settings::default().server().into();
        let accepting = ServerTls::accept(server, Tap::on(ours));
        assert!(timeout(Duration::from_secs(3), accepting).await.is_err());

        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"");
    })
    .await;
}
