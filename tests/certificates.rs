//! Certificates are replaced while connections go on: by a reload, or by themselves when their files
//! change.

use std::{fs, net::SocketAddr, os::unix::fs::symlink, path::Path, time::Duration};

use rustls::{
    HandshakeKind,
    pki_types::CertificateDer,
    version::{TLS12, TLS13},
};
use tokio::{net::TcpStream, time::sleep};

use crate::support::{
    Authority, Certificate, ClientSocket, Log, Proxy, ProxyBuilder, Raw, TlsClient, echo_cluster,
    in_slow_motion, naming_cluster,
};

/// Longer than from one look at the files to the next.
const A_LOOK: Duration = Duration::from_millis(1_200);

const NEVER: &str = "[reload]\ncertificates = \"off\"";

/// A proxy for which nobody need be there.
fn serving(certificate: &Certificate) -> ProxyBuilder {
    serving_all(&[certificate])
}

fn serving_all(certificates: &[&Certificate]) -> ProxyBuilder {
    let entries: Vec<_> = certificates.iter().map(|one| one.entry()).collect();
    Proxy::fronting_addresses(["127.0.0.1:1"])
        .listener(&format!("tls.certificates = [{}]", entries.join(", ")))
}

/// What a client that asks for `name` is shown.
async fn shown(address: SocketAddr, name: &str) -> CertificateDer<'static> {
    let client = TlsClient::trusting_anyone();
    let socket = client.try_connect(address, name).await.unwrap();
    let shown = socket.get_ref().1.peer_certificates().unwrap();
    shown[0].clone().into_owned()
}

/// The files' contents, to be put back later.
fn contents(certificate: &Certificate) -> [Vec<u8>; 2] {
    [&certificate.chain, &certificate.key].map(|file| fs::read(file).unwrap())
}

/// Puts other contents in the place of a file in one step.
fn replace(file: &Path, content: &[u8]) {
    let beside = file.with_extension("new");
    fs::write(&beside, content).unwrap();
    fs::rename(beside, file).unwrap();
}

#[tokio::test]
async fn a_reload_shows_new_clients_the_new_certificate_and_old_ones_go_on() {
    let authority = Authority::new();
    let certificate = authority.certify(&["one.test"]);
    let backends = echo_cluster(1).await;
    let configured = || {
        Proxy::fronting(&backends)
            .listener(&certificate.on_listener())
            .config(NEVER)
    };
    let proxy = configured().start().await;
    let client = TlsClient::trusting(&authority);
    let mut tunnel = client.connect(proxy.address, "one.test").await;
    tunnel.open_websocket().await;

    let new = authority.certify(&["one.test"]);
    assert!(shown(proxy.address, "one.test").await == certificate.der);
    let changes = proxy.reload(configured()).await.unwrap().to_string();
    assert!(changes.starts_with("1 listeners (1 changed)"), "{changes}");
    assert!(shown(proxy.address, "one.test").await == new.der);
    assert_echoes(&mut tunnel).await;
}

/// A frame of the client, masked with zeros, comes back.
async fn assert_echoes(tunnel: &mut Raw<ClientSocket>) {
    tunnel.send(b"\x81\x85\0\0\0\0hello").await;
    assert_eq!(tunnel.frame().await.unwrap().payload, b"hello");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_whose_files_have_changed_is_shown_without_a_reload() {
    in_slow_motion();
    let log = Log::begin();
    let authority = Authority::new();
    let certificate = authority.certify(&["one.test"]);
    let proxy = serving(&certificate).start().await;
    sleep(A_LOOK).await;
    assert!(shown(proxy.address, "one.test").await == certificate.der);

    let new = authority.certify(&["one.test"]);
    sleep(A_LOOK).await;
    assert!(shown(proxy.address, "one.test").await == new.der);
    sleep(A_LOOK).await;
    assert_eq!(log.events("new certificates are in use").len(), 1);

    // A reload finds nothing new in that, and takes nothing back.
    let changes = proxy.reload(serving(&certificate)).await.unwrap();
    assert!(changes.to_string().starts_with("1 listeners"), "{changes}");
    assert!(shown(proxy.address, "one.test").await == new.der);
}

#[tokio::test(start_paused = true)]
async fn files_are_looked_at_as_often_as_configured_or_never() {
    in_slow_motion();
    let authority = Authority::new();
    let certificate = authority.certify(&["one.test"]);
    let proxy = serving(&certificate).config(NEVER).start().await;
    let new = authority.certify(&["one.test"]);
    sleep(Duration::from_secs(60)).await;
    assert!(shown(proxy.address, "one.test").await == certificate.der);

    let seldom = || serving(&certificate).config("[reload]\ncertificates = \"30s\"");
    proxy.reload(seldom()).await.unwrap();
    assert!(shown(proxy.address, "one.test").await == new.der);
    let newer = authority.certify(&["one.test"]);
    sleep(Duration::from_secs(29)).await;
    assert!(shown(proxy.address, "one.test").await == new.der);
    sleep(A_LOOK).await;
    assert!(shown(proxy.address, "one.test").await == newer.der);
}

#[tokio::test(start_paused = true)]
async fn the_old_certificate_stays_until_chain_and_key_fit_each_other() {
    in_slow_motion();
    let log = Log::begin();
    let warnings = || {
        let message = "a certificate has changed, but cannot be used: the old one stays";
        log.events(message).len()
    };
    let authority = Authority::new();
    let old = authority.certify(&["one.test"]);
    let [old_chain, old_key] = contents(&old);
    let new = authority.certify(&["one.test"]);
    let [new_chain, new_key] = contents(&new);
    for (chain_first, other) in [(true, &new_key), (false, &new_chain)] {
        replace(&old.chain, &old_chain);
        replace(&old.key, &old_key);
        let proxy = serving(&old).start().await;
        let before = warnings();

        if chain_first {
            replace(&old.chain, &new_chain);
        } else {
            replace(&old.key, &new_key);
        }
        sleep(3 * A_LOOK).await;
        assert!(shown(proxy.address, "one.test").await == old.der);
        assert_eq!(warnings(), before + 1, "it is said once");

        replace(if chain_first { &old.key } else { &old.chain }, other);
        sleep(A_LOOK).await;
        assert!(shown(proxy.address, "one.test").await == new.der);
    }
}

#[tokio::test(start_paused = true)]
async fn the_old_certificate_stays_while_a_file_is_missing_or_broken() {
    in_slow_motion();
    let authority = Authority::new();
    let old = authority.certify(&["one.test"]);
    let proxy = serving(&old).start().await;
    for file in [&old.chain, &old.key] {
        let before = shown(proxy.address, "one.test").await;
        let content = fs::read(file).unwrap();
        for broken in [&b""[..], b"nonsense", &content[..content.len() / 2]] {
            fs::write(file, broken).unwrap();
            sleep(A_LOOK).await;
            assert!(shown(proxy.address, "one.test").await == before);
        }
        fs::remove_file(file).unwrap();
        sleep(A_LOOK).await;
        assert!(shown(proxy.address, "one.test").await == before);

        let new = authority.certify(&["one.test"]);
        sleep(A_LOOK).await;
        assert!(shown(proxy.address, "one.test").await == new.der);
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_leads_elsewhere_is_followed() {
    in_slow_motion();
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let version = |name: &str| {
        let certificate = authority.certify(&["one.test"]);
        let path = folder.path().join(name);
        fs::create_dir(&path).unwrap();
        fs::copy(&certificate.chain, path.join("chain.pem")).unwrap();
        fs::copy(&certificate.key, path.join("key.pem")).unwrap();
        certificate
    };
    let (one, two) = (version("1"), version("2"));
    // A link to the folder of now, and links to files through that.
    let now = folder.path().join("now");
    symlink("1", &now).unwrap();
    for file in ["chain.pem", "key.pem"] {
        symlink(Path::new("now").join(file), folder.path().join(file)).unwrap();
    }
    let entry = format!(
        "tls.certificates = [{{ chain = {:?}, key = {:?} }}]",
        folder.path().join("chain.pem"),
        folder.path().join("key.pem")
    );
    let proxy = Proxy::fronting_addresses(["127.0.0.1:1"]).listener(&entry);
    let proxy = proxy.start().await;
    assert!(shown(proxy.address, "one.test").await == one.der);

    let next = folder.path().join("next");
    symlink("2", &next).unwrap();
    fs::rename(&next, &now).unwrap();
    sleep(A_LOOK).await;
    assert!(shown(proxy.address, "one.test").await == two.der);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_cannot_be_used_does_not_hold_up_its_siblings() {
    in_slow_motion();
    let authority = Authority::new();
    let (one, two) = (
        authority.certify(&["one.test"]),
        authority.certify(&["two.test"]),
    );
    let proxy = serving_all(&[&one, &two]).start().await;
    fs::write(&one.key, "nonsense").unwrap();
    let new = authority.certify(&["two.test"]);
    sleep(A_LOOK).await;
    assert!(shown(proxy.address, "one.test").await == one.der);
    assert!(shown(proxy.address, "two.test").await == new.der);
    // Who names nobody gets the first, as before.
    assert!(shown(proxy.address, "127.0.0.1").await == one.der);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_began_before_is_resumed_after_a_change_of_any_kind() {
    in_slow_motion();
    let authority = Authority::new();
    let certificate = authority.certify(&["one.test"]);
    let backends = naming_cluster(1).await;
    let configured = || Proxy::fronting(&backends).listener(&certificate.on_listener());
    let proxy = configured().start().await;
    let [old, new] = [&TLS12, &TLS13].map(|version| TlsClient::speaking(&[version], &authority));
    for client in [&old, &new] {
        assert_eq!(visit(client, proxy.address).await, HandshakeKind::Full);
    }
    for change in ["files", "certificate", "limit"] {
        let lines = if change == "limit" {
            "max_connections = 100"
        } else {
            ""
        };
        if change != "limit" {
            authority.certify(&["one.test"]);
        }
        if change == "files" {
            sleep(A_LOOK).await;
        } else {
            proxy.reload(configured().listener(lines)).await.unwrap();
        }
        for client in [&old, &new] {
            let kind = visit(client, proxy.address).await;
            assert_eq!(kind, HandshakeKind::Resumed, "{change}");
        }
    }
}

/// How the handshake of a client was that has asked for something afterwards.
async fn visit(client: &TlsClient, address: SocketAddr) -> HandshakeKind {
    let mut client = client.connect(address, "one.test").await;
    let kind = client.socket.get_ref().1.handshake_kind().unwrap();
    // In TLS 1.3 the tickets come with the response.
    client
        .send("GET / HTTP/1.1\r\nHost: one.test\r\n\r\n")
        .await;
    client.head().await;
    kind
}

#[tokio::test(start_paused = true)]
async fn whoever_is_in_the_midst_of_its_handshake_completes_it() {
    in_slow_motion();
    let authority = Authority::new();
    let certificate = authority.certify(&["one.test"]);
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends).listener(&certificate.on_listener());
    let proxy = proxy.start().await;
    let socket = TcpStream::connect(proxy.address).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    let plain = Proxy::fronting(&backends);
    proxy.reload(plain).await.unwrap();

    let client = TlsClient::trusting(&authority);
    let mut client = client.over(socket, "one.test").await;
    client.open_websocket().await;
    assert_echoes(&mut client).await;
}
