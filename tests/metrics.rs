//! The metrics are what `docs/metrics.md` says, and text that every scraper can read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use longwire::{
    admin::Door,
    config::{Admin, AdminSocket, Intent},
    listener::Inherited,
};
use tempfile::TempDir;
use tokio::{net::UnixStream, sync::mpsc};

use crate::support::{Authority, Client, Proxy, Raw, TlsClient, desk, echo_cluster, until};

/// A family of metrics as a table of the documentation or an exposition describes it.
#[derive(Debug, PartialEq, Eq)]
struct Family {
    kind: String,
    labels: BTreeSet<String>,
}

/// By the names of their series, but for what a histogram adds for its parts.
type Families = BTreeMap<String, Family>;

#[tokio::test]
async fn every_metric_is_documented_and_every_documented_one_is_there() {
    let proxy = lively().await;
    let text = scrape(&proxy).await;
    assert_eq!(emitted(&text), documented());
}

#[tokio::test]
async fn an_exposition_has_an_end_and_no_series_twice() {
    let proxy = lively().await;
    let text = scrape(&proxy).await;
    assert!(text.ends_with("\n# EOF\n"), "{text}");
    has_no_series_twice(&text);
}

#[tokio::test]
async fn a_route_that_leads_to_another_pool_has_other_series() {
    let backends = echo_cluster(1).await;
    let to = |pool: &str| {
        format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npool = \"{pool}\"\n\
             [pool.{pool}]\nbackends = [\"{}\"]\n",
            backends[0].address
        )
    };
    let proxy = Proxy::with_config(&to("old")).await;
    let _stays = proxy.connect().await;
    proxy.reload_as(&to("new")).await.unwrap();
    let _comes = proxy.connect().await;
    has_no_series_twice(&scrape(&proxy).await);
}

fn has_no_series_twice(text: &str) {
    let mut series = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (one, _) = line.rsplit_once(' ').unwrap();
        assert!(series.insert(one), "{one} is there twice");
    }
}

#[tokio::test]
async fn a_route_is_called_by_its_path_in_normal_form() {
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends).route(r#"path = '/./a"b'"#);
    let proxy = proxy.start().await;
    let _client = proxy.connect_to(r#"/a"b"#, &[]).await;
    let text = scrape(&proxy).await;
    let backend = backends[0].address;
    let line =
        format!(r#"longwire_tunnels{{route="*/a%22b",pool="main",backend="{backend}"}} 1.0"#);
    assert!(text.lines().any(|own| own == line), "{text}");
}

/// A proxy that has something to say in each family.
async fn lively() -> Proxy {
    let authority = Authority::new();
    let certificate = authority.certify(&["one.test"]);
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends)
        .pool("health = { check = \"tcp\" }\nadmission = { rate = 100 }\ndrain = { rate = 1 }")
        .config(&format!(
            "[[listener]]\naddress = \"127.0.0.2:0\"\n{}",
            certificate.on_listener()
        ))
        .start()
        .await;

    let mut leaving = proxy.connect().await;
    leaving.websocket.close(None).await.unwrap();
    while leaving.next().await.is_some() {}
    proxy.get("/").await;
    let mut refused = proxy.raw().await;
    refused
        .send("GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
        .await;
    refused.head().await;

    let client = TlsClient::trusting(&authority);
    client.connect(proxy.addresses[1], "one.test").await;
    let stranger = TlsClient::trusting(&Authority::new());
    assert!(
        stranger
            .try_connect(proxy.addresses[1], "one.test")
            .await
            .is_err()
    );

    for _ in 0..3 {
        tokio::spawn(stays(proxy.connect().await));
    }
    let pool = &proxy.pools[0];
    let backend = &pool.backends()[0];
    pool.intend(backend, Intent::Draining);
    until(|| pool.drain_of(backend).is_some()).await;
    until(|| proxy.control.proxy().counts().sums().ended > 0).await;
    until(|| {
        proxy
            .control
            .tls()
            .failed
            .iter()
            .any(|(_, count)| *count > 0)
    })
    .await;
    proxy
}

/// Answers whatever is asked of it.
async fn stays(mut client: Client) {
    while client.next().await.is_some() {}
}

/// What `/metrics` says.
async fn scrape(proxy: &Proxy) -> String {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("door.sock");
    let config = Admin {
        socket: AdminSocket::At(path.clone()),
        ..Admin::default()
    };
    let door = Door::bind(&config, None, &mut Inherited::default()).unwrap();
    let (errands, _) = mpsc::channel(1);
    let serving = tokio::spawn(door.serve(desk(proxy, errands)));
    let mut scraper = Raw::new(UnixStream::connect(&path).await.unwrap());
    scraper
        .send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let (head, text) = scraper.response().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    serving.abort();
    text
}

/// What the tables say: `name`, type, `labels`, meaning.
fn documented() -> Families {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let text = fs::read_to_string(file).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `longwire_"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let labels = cells[3].split_whitespace().map(unquoted).collect();
        let kind = cells[2].to_owned();
        (unquoted(cells[1]), Family { kind, labels })
    })
    .collect()
}

fn unquoted(code: &str) -> String {
    code.trim_matches('`').to_owned()
}

/// What an exposition has.
fn emitted(text: &str) -> Families {
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    kinds
        .map(|line| {
            let (family, kind) = line.split_once(' ').unwrap();
            let (suffix, part) = match kind {
                "counter" => ("_total", ""),
                "info" => ("_info", ""),
                "histogram" => ("", "_count"),
                _ => ("", ""),
            };
            let name = format!("{family}{suffix}");
            let labels = labels(text, &format!("{name}{part}"));
            let kind = kind.to_owned();
            (name, Family { kind, labels })
        })
        .collect()
}

/// The labels that series of that name have, of which there has to be one.
fn labels(text: &str, name: &str) -> BTreeSet<String> {
    let series = text.lines().filter_map(|line| line.strip_prefix(name));
    let series: Vec<_> = series.filter(|rest| rest.starts_with(['{', ' '])).collect();
    assert!(!series.is_empty(), "there is nothing in {name}");
    let labels = series.iter().flat_map(|rest| rest.split(['{', ',']));
    let names = labels.filter_map(|label| label.split_once("=\""));
    names.map(|(name, _)| name.to_owned()).collect()
}
