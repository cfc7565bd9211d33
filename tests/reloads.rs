//! The real program takes other configurations while a crowd talks through it.

use std::collections::HashMap;

use crate::support::{
    Backend, Crowd, FINISHED, Hosts, Newcomers, Process, Site, WINDOW, get, naming_cluster,
};

const TUNNELS: usize = 500;

/// What is on its way through all tunnels together: messages of both sides, or their answers.
const UNDER_WAY: u64 = 2 * TUNNELS as u64 * WINDOW as u64;

/// Answers that others may hear while one is waited for. If all had their turn one after the other
/// it would be those under way; this leaves room for a busy machine, and none for a tunnel that
/// stands still while the others talk.
const LATE: u64 = 10 * UNDER_WAY;

#[tokio::test]
async fn tunnels_lose_nothing_through_reloads_of_all_kinds() {
    let mut talk = Talk::begin().await;
    for round in 1..=20 {
        talk.is_reloaded(round).await;
        if round == 10 {
            talk.is_not_reloaded().await;
        }
    }
    talk.ends_well().await;
}

/// A crowd and newcomers through one process.
struct Talk {
    site: Site,
    process: Process,
    crowd: Crowd,
    newcomers: Newcomers,
    /// One of them serves "/which".
    named: Vec<Backend>,
}

impl Talk {
    async fn begin() -> Self {
        let site = Site::new();
        let hosts = Hosts::new(2, TUNNELS).await;
        let named = naming_cluster(2).await;
        configure(&site, &hosts.backends, &named, 0);
        let mut process = site.folder.start(&[]);
        process.line("to pool main").await;
        Self {
            process,
            crowd: hosts.gather(&site.entrances()).await,
            newcomers: Newcomers::begin(&site.entrances()),
            named,
            site,
        }
    }

    /// A route, a certificate and a backend's weight change, and everybody goes on.
    async fn is_reloaded(&mut self, round: usize) {
        let certificate = self.site.renew_certificate();
        configure(&self.site, self.crowd.backends(), &self.named, round);
        let outcome = self.site.folder.run(&["reload"]).await;
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert!(outcome.stdout.contains("pools (1 changed)"), "{outcome:?}");

        let which = get(self.site.plain, "/which", &[]).await;
        let named = self.named[round % 2].address.to_string();
        assert_eq!(which.header("x-backend"), Some(&*named));
        let client = self.site.client();
        let stream = client.try_connect(self.site.tls, "proxy.test").await;
        let shown = stream.unwrap().get_ref().1.peer_certificates().unwrap()[0].clone();
        assert!(
            shown == certificate.der,
            "round {round}: an old certificate"
        );
        self.crowd.goes_on().await;
    }

    /// The file is broken: all stays as it is.
    async fn is_not_reloaded(&mut self) {
        self.site.folder.write("proxy.toml", "[[listener]]\nbroken");
        let outcome = self.site.folder.run(&["reload"]).await;
        outcome.is_failure_with(1, &["proxy.toml:2"]);
        self.crowd.goes_on().await;
    }

    async fn ends_well(self) {
        let visits = self.newcomers.end().await;
        assert!(visits.served >= 20, "{visits:?}");
        assert!(visits.told.is_empty(), "{visits:?}");
        assert!(visits.faults.is_empty(), "{visits:?}");
        let ends = self.crowd.ends().await;
        let all = HashMap::from([(FINISHED, TUNNELS)]);
        assert_eq!((&ends.clients, &ends.backends), (&all, &all));
        assert!(ends.most_overtaken <= LATE, "{ends:?} beyond {LATE}");
        let log = self.process.stop().await;
        let alarms: Vec<_> = log.iter().filter(|line| is_alarming(line)).collect();
        assert_eq!(alarms.len(), 1, "{alarms:#?}");
        assert!(alarms[0].contains("reload refused"), "{alarms:#?}");
    }
}

fn is_alarming(line: &str) -> bool {
    line.contains("WARN") || line.contains("ERROR")
}

/// The configuration of that round: each differs from the one before in the pool of a route and in
/// the weight of a backend.
fn configure(site: &Site, talking: &[Backend], named: &[Backend], round: usize) {
    let weighed = talking[1].entry(&format!("weight = {}", 1 + round % 3));
    let pool = format!("backends = [\"{}\", {weighed}]", talking[0].address);
    let [chosen, other] = [round % 2, 1 - round % 2];
    let rest = format!(
        "[[route]]\npath = \"/which\"\npool = \"named-{chosen}\"\n\
         [[route]]\npath = \"/other\"\npool = \"named-{other}\"\n\
         [pool.named-0]\nbackends = [\"{}\"]\n[pool.named-1]\nbackends = [\"{}\"]\n\
         [reload]\ncertificates = \"off\"\n[server]\nworkers = 2\n[log]\naccess = false",
        named[0].address, named[1].address
    );
    site.configure_pool(&pool, &rest);
}
