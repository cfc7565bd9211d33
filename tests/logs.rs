//! The log is never in the way: whoever reads it slowly, or not at all, misses lines, and nobody else
//! notices. It can be a file, which is opened again when it was moved away.

use std::{fs, net::SocketAddr, path::Path};

use rustix::process::Signal;
use serde_json::Value;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::support::{
    Backend, Client, Folder, Process, Raw, RawBackend, Scrape, get, handshake, switching, until,
};

/// More requests than there is room for in the log's queue and in its pipe.
const CROWD: usize = 10_000;

/// More than there is room for in the pipe alone.
const SOME: usize = 2_000;

/// So many requests of which none finds a route, on one connection.
async fn crowd(address: SocketAddr, requests: usize) {
    let socket = TcpStream::connect(address).await.unwrap();
    let (reading, mut writing) = socket.into_split();
    let asking = tokio::spawn(async move {
        let request = b"GET / HTTP/1.1\r\nHost: elsewhere\r\n\r\n";
        for _ in 0..requests / 100 {
            writing.write_all(&request.repeat(100)).await.unwrap();
        }
        writing
    });
    let mut answers = Raw::new(tokio::io::join(reading, tokio::io::sink()));
    for _ in 0..requests {
        let (head, _) = answers.response().await;
        assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    }
    drop(asking.await);
}

async fn dropped(door: SocketAddr) -> f64 {
    let answer = get(door, "/metrics", &[]).await;
    Scrape::of(answer.text()).sum("longwire_log_lines_dropped_total", &[])
}

/// The address behind that word in the log.
async fn address_behind(process: &mut Process, words: &str) -> SocketAddr {
    let line = process.line(words).await;
    let (_, address) = line.rsplit_once("http://").unwrap();
    address.trim_end_matches(['"', '}']).parse().unwrap()
}

fn configure(folder: &Folder, backend: SocketAddr, log: &str) {
    let text = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\nhost = \"here\"\npool = \"main\"\n\
         [pool.main]\nbackends = [\"{backend}\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [log]\n{log}"
    );
    folder.write("proxy.toml", &text);
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_nothing_up() {
    let backend = Backend::echo().await;
    let folder = Folder::new();
    configure(&folder, backend.address, "");
    let mut process = folder.start(&[]);
    let door = address_behind(&mut process, "door is open on").await;
    let address = process.address().await;
    let mut client = Client::connect(address, "/", &[("host", "here")]).await;

    crowd(address, CROWD).await;
    assert_eq!(client.echo("hello").await, "hello");
    assert_eq!(get(door, "/livez", &[]).await.text(), "live\n");
    assert!(dropped(door).await > 0.0);

    let line = process.line("lines are missing here").await;
    let (_, lines) = line.rsplit_once("lines=").unwrap();
    assert_eq!(lines.parse::<f64>().unwrap(), dropped(door).await);
    drop(client);
    process.stop().await;
}

#[tokio::test]
async fn a_proxy_whose_log_nobody_reads_stops_when_it_is_told_to() {
    let backend = Backend::echo().await;
    let folder = Folder::new();
    configure(&folder, backend.address, "");
    let mut process = folder.start(&[]);
    let address = process.address().await;
    crowd(address, CROWD).await;
    process.signal(Signal::TERM);
    assert_eq!(process.left_unread().await, Some(0));
}

#[tokio::test]
async fn what_was_logged_last_is_written_before_the_end() {
    let folder = Folder::new();
    configure(&folder, "127.0.0.1:9".parse().unwrap(), "");
    let mut process = folder.start(&[]);
    crowd(process.address().await, SOME).await;
    let log = process.stop().await;
    assert!(log.last().unwrap().contains("stopped"), "{:?}", log.last());
}

#[tokio::test]
async fn a_log_file_is_opened_again_on_a_signal_and_moved_by_a_reload() {
    let backend = Backend::echo().await;
    let folder = Folder::new();
    let (first, moved) = (folder.path().join("a.log"), folder.path().join("a.log.1"));
    configure(
        &folder,
        backend.address,
        "file = \"a.log\"\nformat = \"json\"",
    );
    let process = folder.start(&[]);
    let says =
        |file: &Path, words: &str| fs::read_to_string(file).is_ok_and(|text| text.contains(words));
    until(|| says(&first, "listening on")).await;

    fs::rename(&first, &moved).unwrap();
    process.signal(Signal::USR1);
    until(|| says(&first, "the log was opened again")).await;
    assert!(!says(&first, "listening on"));

    let second = folder.path().join("b.log");
    configure(
        &folder,
        backend.address,
        "file = \"b.log\"\nformat = \"json\"",
    );
    process.signal(Signal::HUP);
    until(|| says(&second, "reload")).await;
    assert_eq!(process.stop().await, [""; 0], "stderr has none of it");
    assert!(says(&second, "stopped"));
}

#[tokio::test]
async fn a_log_file_that_cannot_be_opened_refuses_the_start_and_the_reload() {
    let folder = Folder::new();
    let nobody = "127.0.0.1:9".parse().unwrap();
    configure(&folder, nobody, "file = \"no/such/folder/a.log\"");
    let outcome = folder.run(&[]).await;
    outcome.is_failure_with(1, &["cannot log to", "a.log"]);

    configure(&folder, nobody, "");
    let mut process = folder.start(&[]);
    process.address().await;
    configure(&folder, nobody, "file = \"no/such/folder/a.log\"");
    process.signal(Signal::HUP);
    process.line("cannot log to").await;
    process.stop().await;
}

#[tokio::test]
async fn a_hostile_backend_moves_no_terminal_and_fills_no_log() {
    let hostile = format!("x-\u{9b}31m{}", "y".repeat(20_000));
    for format in ["text", "json"] {
        let folder = Folder::new();
        let backend = RawBackend::listen();
        configure(&folder, backend.address, &format!("format = \"{format}\""));
        let mut process = folder.start(&[]);
        let socket = TcpStream::connect(process.address().await).await.unwrap();
        let mut client = Raw::new(socket);
        client.send(handshake("/", &[("Host", "here")])).await;
        let mut asked = backend.accept().await;
        asked.head().await;
        let answer = switching(&[("Sec-WebSocket-Extensions", &hostile)]);
        asked.send(answer).await;
        client.head().await;
        let line = process.line("a request failed").await;
        assert!(line.len() < 1_000, "{line}");
        assert!(!line.contains('\u{9b}'), "{line}");
        if format == "json" {
            let event: Value = serde_json::from_str(&line).unwrap();
            assert!(event["error"].as_str().unwrap().contains('…'), "{line}");
        }
        process.stop().await;
    }
}
