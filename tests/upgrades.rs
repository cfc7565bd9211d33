//! The real program is replaced while a crowd talks through it.

use std::collections::HashMap;

use rustix::process::Signal;

use crate::support::{End, FINISHED, Hosts, Newcomers, Site, WINDOW};

const TUNNELS: usize = 500;

/// What is on its way through all tunnels together: messages of both sides, or their answers.
const UNDER_WAY: u64 = 2 * TUNNELS as u64 * WINDOW as u64;

/// Answers that others may hear while one is waited for. If all had their turn one after the other
/// it would be those under way; this leaves room for a tunnel on its way between two processes of a
/// busy machine, and none for one that is forgotten there.
const LATE: u64 = 10 * UNDER_WAY;

/// What those are told whose tunnels stay behind.
const RESTARTING: End = End(1012);

const QUICK: &str = "[upgrade]\nover = \"1s\"\n[log]\naccess = false\n[server]\nworkers = 2";

#[tokio::test]
async fn plain_tunnels_lose_nothing_and_those_over_tls_are_told() {
    let site = Site::new();
    site.folder.install();
    let hosts = Hosts::new(2, TUNNELS).await;
    site.configure(&hosts.backends, QUICK);
    let mut process = site.folder.start_installed();
    process.line("to pool main").await;
    let crowd = hosts.gather(&site.entrances()).await;
    let mut newcomers = Newcomers::begin(&site.entrances());
    crowd.goes_on().await;

    site.folder.install_script("exit 1");
    let outcome = site.folder.run(&["upgrade"]).await;
    outcome.is_failure_with(1, &["this one goes on"]);
    crowd.goes_on().await;

    site.folder.install();
    let heir = site.folder.upgrade().await;
    assert_eq!(process.left().await, Some(0), "{:#?}", process.log);
    crowd.goes_on().await;
    newcomers.go_on_for(10).await;

    let visits = newcomers.end().await;
    assert_eq!(visits.faults, [""; 0]);
    // Only who was in the midst of it is told.
    let told = visits.told.get(&RESTARTING).copied().unwrap_or_default();
    assert_eq!(visits.told.values().sum::<usize>(), told);
    assert!(told <= 1 && visits.served >= 10, "{visits:?}");
    let ends = crowd.ends().await;
    let halves = HashMap::from([(FINISHED, TUNNELS / 2), (RESTARTING, TUNNELS / 2)]);
    assert_eq!((&ends.clients, &ends.backends), (&halves, &halves));
    assert!(ends.most_overtaken <= LATE, "{ends:?} beyond {LATE}");
    heir.signal(Signal::TERM);
    // It ends when nobody is left who could write there.
    let (_, log) = process.ended().await;
    let alarms = log.iter();
    let alarms = alarms.filter(|line| line.contains("WARN") || line.contains("ERROR"));
    let alarms: Vec<_> = alarms.collect();
    assert!(
        alarms.len() == 1 && alarms[0].contains("upgrade refused"),
        "{alarms:#?}"
    );
}
