//! What tunnels hold whose peers take nothing any more.

use std::{fs, os::unix::fs::FileTypeExt};

use longwire::websocket::Role;
use tokio::{io::AsyncWriteExt, task::JoinSet};

use crate::support::{Folder, RawBackend, frame, narrow_client, until};

/// Tunnels that stall in both directions.
const TUNNELS: usize = 20;

/// The files of the pipes that a worker keeps for its tunnels, at most.
const SPARE: usize = 32;

/// The payload of a frame that the sockets on its way do not hold.
const LONG: usize = 4 << 20;

/// The ends of pipes among a process's open files.
fn pipes(process: u32) -> usize {
    let files = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    files
        .filter_map(|file| fs::metadata(file.ok()?.path()).ok())
        .filter(|file| file.file_type().is_fifo())
        .count()
}

#[tokio::test]
async fn stalled_tunnels_with_long_frames_give_their_pipes_up_and_lose_no_byte() {
    let folder = Folder::new();
    let backend = RawBackend::with_small_buffers().await;
    let settings = "[server]\nworkers = 1\n[timeouts]\nstall = \"10m\"\n";
    folder.configure(backend.address, settings);
    let mut process = folder.start(&["run"]);
    let address = process.address().await;
    let before = pipes(process.id());
    let payload: Vec<u8> = (0..=250).cycle().take(LONG).collect();

    let mut senders = JoinSet::new();
    let mut hearers = Vec::new();
    for _ in 0..TUNNELS {
        let mut client = narrow_client(address).await;
        client.ask_for_websocket("/").await;
        let mut backend = backend.accept().await;
        backend.grant_websocket().await;
        client.head().await;
        for (peer, role) in [(client, Role::Client), (backend, Role::Server)] {
            let (heard, mut said) = peer.into_halves();
            let long = frame(0x82, &payload, role);
            senders.spawn(async move {
                said.write_all(&long).await.unwrap();
                said
            });
            hearers.push(heard);
        }
    }
    until(|| pipes(process.id()) > before + SPARE).await;
    until(|| pipes(process.id()) <= before + SPARE).await;

    let mut listeners = JoinSet::new();
    for mut heard in hearers {
        listeners.spawn(async move { heard.frame().await.map(|frame| frame.payload) });
    }
    while let Some(heard) = listeners.join_next().await {
        assert!(heard.unwrap().as_ref() == Some(&payload));
    }
    senders.join_all().await;
}
