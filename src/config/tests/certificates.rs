//! TLS on both sides, and the files that it needs.

use std::{fs, path::Path};

use rustls::pki_types::CertificateDer;

use super::{
    super::{Config, Problems, TlsVersion, surroundings::Surroundings},
    backends, bare, listener, problems, read_in, refuses, said,
};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys");

fn in_fixtures(text: &str) -> Result<Config, Problems> {
    read_in(text, &bare(Path::new(FIXTURES)))
}

fn refusal(text: &str) -> String {
    let problems = in_fixtures(text).unwrap_err();
    assert_eq!(problems.iter().count(), 1, "{problems}");
    problems.iter().map(said).collect()
}

fn certificate(chain: &str, key: &str) -> String {
    listener(&format!(
        "tls.certificates = [{{ chain = \"{chain}\", key = \"{key}\" }}]"
    ))
}

#[test]
fn keys_of_every_form_fit_their_certificates() {
    for (chain, key) in [
        ("rsa.crt", "rsa.pkcs1.key"),
        ("rsa.crt", "rsa.pkcs8.key"),
        ("ec.crt", "ec.sec1.key"),
        ("ec.crt", "ec.pkcs8.key"),
    ] {
        let read = in_fixtures(&certificate(chain, key));
        let config = read.unwrap_or_else(|problems| panic!("{problems}"));
        let tls = config.listeners[0].tls.as_ref().unwrap();
        assert_eq!(tls.certificates.len(), 1);
        assert_eq!(tls.min_version, TlsVersion::Tls12);
    }
}

#[test]
fn a_generated_certificate_is_read_from_where_the_file_is() {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["chat.test".to_owned()]).unwrap();
    let both = made.cert.pem() + &made.signing_key.serialize_pem();
    fs::write(directory.path().join("both.pem"), both).unwrap();
    let text = certificate("both.pem", "both.pem");
    let text = text.replace("[[route]]", "tls.min_version = \"1.3\"\n[[route]]");
    fs::write(directory.path().join("proxy.toml"), text).unwrap();

    let config = Config::load(&directory.path().join("proxy.toml")).unwrap();

    let tls = config.listeners[0].tls.as_ref().unwrap();
    assert_eq!(tls.min_version, TlsVersion::Tls13);
    assert_eq!(tls.certificates[0].certified.cert[0], *made.cert.der());
}

#[test]
fn a_certificate_that_cannot_be_used_is_refused_with_its_path() {
    let directory = tempfile::tempdir().unwrap();
    let damaged = directory.path().join("damaged");
    fs::write(
        &damaged,
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let hollow = directory.path().join("hollow");
    fs::write(
        &hollow,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let (damaged, hollow) = (damaged.to_str().unwrap(), hollow.to_str().unwrap());
    let key = directory.path().join("key");
    fs::write(
        &key,
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    )
    .unwrap();
    for (chain, key, words) in [
        ("rsa.crt", "ec.sec1.key", ["does not fit", "ec.sec1.key"]),
        ("nowhere.crt", "ec.sec1.key", ["cannot read", "nowhere.crt"]),
        ("ec.crt", "nowhere.key", ["cannot read", "nowhere.key"]),
        (
            "ec.sec1.key",
            "ec.sec1.key",
            ["no certificate", "ec.sec1.key"],
        ),
        ("ec.crt", "ec.crt", ["no private key", "ec.crt"]),
        (
            "ec.crt",
            "ec.encrypted.key",
            ["no passphrase", "ec.encrypted.key"],
        ),
        (damaged, "ec.sec1.key", ["is damaged", damaged]),
        (hollow, "ec.sec1.key", ["cannot be read", hollow]),
        (
            "ec.crt",
            key.to_str().unwrap(),
            ["cannot be used", "RSA, ECDSA"],
        ),
        ("", "ec.sec1.key", ["is empty", "PEM file"]),
    ] {
        let said = refusal(&certificate(chain, key));
        for word in words {
            assert!(said.contains(word), "no {word:?} in {said}");
        }
    }
}

#[test]
fn tls_of_a_listener_has_certificates() {
    let table = "certificates = [{ chain = \"chain.pem\", key = \"key.pem\" }]";
    refuses(
        &listener("tls = {}"),
        "tls",
        &["`certificates` is missing", table],
    );
    refuses(
        &listener("tls.certificates = []"),
        "tls",
        &["no certificate"],
    );
    let lacking = problems(&listener("tls.certificates = [{}]"));
    assert_eq!(lacking.iter().count(), 2, "{lacking}");
    let said = refusal(
        &certificate("ec.crt", "ec.sec1.key")
            .replace("[[route]]", "tls.min_version = \"1.1\"\n[[route]]"),
    );
    assert!(said.contains("did you mean `1.2`?"), "{said}");
}

fn one_authority() -> Vec<CertificateDer<'static>> {
    let made = rcgen::generate_simple_self_signed(["authority.test".to_owned()]).unwrap();
    vec![made.cert.der().clone()]
}

#[test]
fn backends_over_tls_are_vouched_for_by_ca_or_the_system() {
    let own = backends(
        "[\"https://h\"]",
        "tls = { ca = \"ec.crt\", server_name = \"inner\" }",
    );
    let tls = in_fixtures(&own).unwrap().pools.remove(0).tls.unwrap();
    assert_eq!(tls.server_name.as_deref(), Some("inner"));
    let authorities = tls.authorities.unwrap();
    assert_eq!(authorities.roots.len(), 1);
    assert_eq!(authorities.self_signed.len(), 1, "it has signed itself");

    let system = Surroundings {
        authorities: one_authority,
        ..bare(Path::new(FIXTURES))
    };
    for tls in ["", "tls = { server_name = \"inner\" }"] {
        let config = read_in(&backends("[\"https://h\"]", tls), &system).unwrap();
        let tls = config.pools[0].tls.as_ref().unwrap();
        let authorities = tls.authorities.as_ref().unwrap();
        assert_eq!(authorities.roots.len(), 1);
        assert!(authorities.self_signed.is_empty(), "they are authorities");
    }
    let config = read_in(&backends("[\"http://h:1\"]", ""), &system).unwrap();
    assert!(config.pools[0].tls.is_none());
}

#[test]
fn backends_that_nobody_vouches_for_are_warned_about() {
    let off = backends("[\"https://h\"]", "tls.verify = \"off\"");
    let config = in_fixtures(&off).unwrap();
    assert!(config.pools[0].tls.as_ref().unwrap().authorities.is_none());
    let warnings = config.warnings();
    assert!(warnings[0].contains("pool `p`"), "{warnings:?}");
    let full = backends(
        "[\"https://h\"]",
        "tls = { ca = \"ec.crt\", verify = \"full\" }",
    );
    assert!(in_fixtures(&full).unwrap().warnings().is_empty());
    let both = backends(
        "[\"https://h\"]",
        "tls = { ca = \"ec.crt\", verify = \"off\" }",
    );
    let problems = in_fixtures(&both).unwrap_err().to_string();
    assert!(problems.contains("`ca` is of no use"), "{problems}");
}

#[test]
fn a_system_without_authorities_is_a_problem_that_ca_solves() {
    refuses(
        &backends("[\"https://h\"]", ""),
        "https://h",
        &["no certificate authorities", "`tls.ca`"],
    );
}

#[test]
fn wrong_tls_to_backends_is_refused() {
    for (backend, tls, word) in [
        ("h:1", "tls = { ca = \"ec.crt\" }", "of no use"),
        ("https://h", "tls = { ca = \"nowhere\" }", "cannot read"),
        (
            "https://h",
            "tls = { ca = \"ec.sec1.key\" }",
            "no certificate",
        ),
        (
            "https://h",
            "tls = { ca = \"ec.crt\", server_name = \"a b\" }",
            "no name of a server",
        ),
        (
            "https://h",
            "tls = { ca = \"ec.crt\", servername = \"a\" }",
            "did you mean `server_name`?",
        ),
        (
            "https://h/x",
            "tls = { ca = \"ec.crt\" }",
            "ends after the port",
        ),
    ] {
        let said = refusal(&backends(&format!("[\"{backend}\"]"), tls));
        assert!(said.contains(word), "no {word:?} in {said}");
    }
}
