//! Connections are spread over the worker threads, and live on them.

use std::{collections::BTreeSet, fs};

use futures_util::future::join_all;

use crate::support::{Backend, Client, Folder};

const TUNNELS: usize = 200;

#[tokio::test]
async fn tunnels_are_spread_evenly_over_the_workers() {
    let backend = Backend::echo().await;
    let folder = Folder::new();
    folder.configure(backend.address, "[server]\nworkers = 4");
    let mut process = folder.start(&[]);
    let address = process.address().await;
    let mut clients = Vec::new();
    for _ in 0..TUNNELS {
        clients.push(Client::connect(address, "/", &[]).await);
    }

    let echoed = clients.iter_mut().map(|client| client.echo("hello"));
    assert!(join_all(echoed).await.iter().all(|echo| echo == "hello"));
    let sockets = sockets_by_poller(process.id());
    let workers: Vec<_> = sockets.into_iter().filter(|count| *count > 10).collect();
    assert_eq!(workers.len(), 4, "{workers:?}");
    for sockets in workers {
        let tunnels = sockets / 2;
        assert!(tunnels.abs_diff(TUNNELS / 4) < 5, "{tunnels} on one worker");
    }
    drop(clients);
    process.stop().await;
}

/// How many files each epoll instance of a process watches.
fn sockets_by_poller(process: u32) -> Vec<usize> {
    let descriptors = fs::read_dir(format!("/proc/{process}/fdinfo")).unwrap();
    let watched = descriptors.filter_map(|file| {
        let text = fs::read_to_string(file.unwrap().path()).ok()?;
        let mut watched: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("tfd:"))
            .collect();
        watched.sort_unstable();
        Some(watched.join("\n")).filter(|watched| !watched.is_empty())
    });
    // An instance may have more than one descriptor.
    let instances: BTreeSet<_> = watched.collect();
    instances
        .iter()
        .map(|watched| watched.lines().count())
        .collect()
}
