//! Backends, affinity, secrets, and everything that is in other files.

use std::{fs, path::Path, time::Duration};

use cookie::SameSite;
use rustls::pki_types::CertificateDer;

use super::{
    super::{
        Affinity, Balance, Config, CookieAffinity, Problems, Secret, TlsVersion,
        surroundings::Surroundings,
    },
    backends, bare, listener, only, problems, read_in, refuses, said, valid,
};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys");

fn affinity(table: &str) -> String {
    backends("[\"10.0.0.1:1\"]", &format!("affinity = {table}"))
}

fn cookie(keys: &str) -> String {
    affinity(&format!("{{ by = \"cookie\", {keys} }}"))
}

fn cookie_of(config: Config) -> CookieAffinity {
    match config.pools.into_iter().next().map(|pool| pool.affinity) {
        Some(Affinity::Cookie(cookie)) => cookie,
        other => panic!("{other:?}"),
    }
}

fn in_fixtures(text: &str) -> Result<Config, Problems> {
    read_in(text, &bare(Path::new(FIXTURES)))
}

fn refusal(text: &str) -> String {
    let problems = in_fixtures(text).unwrap_err();
    assert_eq!(problems.iter().count(), 1, "{problems}");
    problems.iter().map(said).collect()
}

#[test]
fn backends_share_the_pools_limit_unless_they_have_their_own() {
    let text = backends(
        "[\"a:1\", { address = \"b:1\", weight = 100, max_tunnels = 7 }, { address = \"c:1\" }]",
        "max_tunnels = 5\nbalance = \"random-of-two\"",
    );
    let pool = valid(&text).pools.remove(0);
    let read: Vec<_> = pool
        .backends
        .iter()
        .map(|backend| (backend.weight.get(), backend.max_tunnels.unwrap().get()))
        .collect();
    assert_eq!(read, [(1, 5), (100, 7), (1, 5)]);
    assert_eq!(pool.balance, Balance::RandomOfTwo);
}

#[test]
fn wrong_backends_are_refused() {
    for (list, word) in [
        ("[]", "at least one backend"),
        ("[3]", "found an integer"),
        ("\"a:1\"", "found a string"),
        ("[\"a\"]", "port is missing"),
        ("[{ address = \"a:1\", weight = 0 }]", "from 1 to 100"),
        ("[{ address = \"a:1\", weight = 101 }]", "from 1 to 100"),
        ("[{ address = \"a:1\", max_tunnels = 0 }]", "from 1"),
        (
            "[{ address = \"a:1\", wieght = 2 }]",
            "did you mean `weight`?",
        ),
        ("[{ weight = 1 }]", "`address` is missing"),
        ("[\"a:1\", { address = \"A:1\" }]", "twice"),
    ] {
        refuses(&backends(list, ""), list, &[word]);
    }
    refuses(
        &backends("[\"a:1\"]", "balance = \"best\""),
        "balance",
        &["`round-robin`"],
    );
}

#[test]
fn affinity_is_written_short_or_long() {
    assert!(matches!(
        valid(&affinity("\"none\"")).pools[0].affinity,
        Affinity::None
    ));
    assert!(matches!(
        valid(&affinity("{ by = \"none\" }")).pools[0].affinity,
        Affinity::None
    ));
    let short = valid(&affinity("\"cookie\"")).pools.remove(0).affinity;
    let long = valid(&affinity("{ by = \"cookie\" }"))
        .pools
        .remove(0)
        .affinity;
    assert_eq!(format!("{short:?}"), format!("{long:?}"));
    let ip = valid(&affinity(
        "{ by = \"ip\", ipv6_prefix = 48, expiry = \"5m\" }",
    ));
    assert!(matches!(&ip.pools[0].affinity, Affinity::Ip(ip) if ip.ipv6_prefix == 48));
    let header = valid(&affinity("{ by = \"header\", name = \"X-Room\" }"));
    assert!(matches!(&header.pools[0].affinity, Affinity::Header(name) if name == "x-room"));
    let query = valid(&affinity("{ by = \"query\", name = \"room\" }"));
    assert!(matches!(&query.pools[0].affinity, Affinity::Query(name) if name == "room"));
}

#[test]
fn every_setting_of_a_cookie_is_read() {
    let cookie = cookie_of(valid(&cookie(
        "name = \"id\", secret = \"sixteen letters!\", max_age = \"2h\", domain = \"Example.com\", \
         path = \"/x\", same_site = \"strict\", secure = false, http_only = false",
    )));
    assert_eq!(cookie.name, "id");
    assert!(cookie.secret == Secret::configured("sixteen letters!"));
    assert_eq!(cookie.max_age, Duration::from_secs(7200));
    assert_eq!(cookie.domain.as_deref(), Some("example.com"));
    assert_eq!(cookie.path, "/x");
    assert_eq!(cookie.same_site, SameSite::Strict);
    assert_eq!((cookie.secure, cookie.http_only), (Some(false), false));
}

#[test]
fn wrong_affinities_are_refused() {
    for (table, word) in [
        ("3", "found an integer"),
        ("\"cookies\"", "did you mean `cookie`?"),
        ("\"header\"", "needs the header's name"),
        ("\"query\"", "needs the query's name"),
        ("{}", "`by` is missing"),
        ("{ by = \"luck\", name = \"x\" }", "one of `cookie`"),
        ("{ by = \"header\" }", "`name` is missing"),
        ("{ by = \"query\" }", "`name` is missing"),
        (
            "{ by = \"header\", name = \"x room\" }",
            "no name of a header",
        ),
        (
            "{ by = \"query\", name = \"a=b\" }",
            "no name of a parameter",
        ),
        ("{ by = \"query\", name = \"\" }", "is empty"),
        ("{ by = \"ip\", ipv6_prefix = 0 }", "from 1 to 128"),
        ("{ by = \"ip\", ipv6_prefix = 129 }", "from 1 to 128"),
        ("{ by = \"ip\", expiry = \"0s\" }", "is zero"),
        (
            "{ by = \"ip\", name = \"x\" }",
            "only with `by` as `cookie`, `header`, `query`",
        ),
        (
            "{ by = \"ip\", secret = \"x\" }",
            "only with `by` as `cookie`",
        ),
        (
            "{ by = \"cookie\", expiry = \"1h\" }",
            "only with `by` as `ip`",
        ),
        (
            "{ by = \"none\", max_age = \"1h\" }",
            "only with `by` as `cookie`",
        ),
        ("{ by = \"cookie\", name = \"a b\" }", "no name of a cookie"),
        ("{ by = \"cookie\", name = \"a;b\" }", "no name of a cookie"),
        ("{ by = \"cookie\", name = \"\" }", "no name of a cookie"),
        ("{ by = \"cookie\", max_age = \"1ms\" }", "at least \"1s\""),
        ("{ by = \"cookie\", domain = \"a b\" }", "no domain"),
        ("{ by = \"cookie\", path = \"x\" }", "no path"),
        ("{ by = \"cookie\", path = \"/;x\" }", "no path"),
        (
            "{ by = \"cookie\", same_site = \"no\" }",
            "`lax`, `strict`, `none`",
        ),
        (
            "{ by = \"cookie\", http_onyl = true }",
            "did you mean `http_only`?",
        ),
    ] {
        let problem = only(&affinity(table));
        assert!(said(&problem).contains(word), "{table}: {}", said(&problem));
    }
}

#[test]
fn a_cookie_for_every_site_is_secure() {
    let text = cookie("same_site = \"none\", secure = false");
    refuses(
        &text,
        "affinity",
        &["must be secure", "sent from every site"],
    );
    valid(&cookie("same_site = \"none\", secure = true"));
    valid(&cookie("same_site = \"none\""));
}

#[test]
fn a_secret_comes_from_the_text_a_file_or_a_variable() {
    let directory = tempfile::tempdir().unwrap();
    let secret = |keys: &str| {
        let read = read_in(&cookie(keys), &bare(directory.path()));
        cookie_of(read.unwrap_or_else(|problems| panic!("{problems}"))).secret
    };
    let expected = Secret::configured("a secret that is long");
    for newline in ["", "\n", "\r\n"] {
        let path = directory.path().join("file");
        fs::write(path, format!("a secret that is long{newline}")).unwrap();
        assert!(secret("secret_file = \"file\"") == expected);
    }
    assert!(secret("secret_env = \"LONG\"") == expected);
    assert!(secret("secret = \"a secret that is long\"") == expected);
    assert!(secret("name = \"x\"").is_random());
}

#[test]
fn a_secret_that_cannot_be_had_is_a_problem_at_its_place() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("empty"), "\n").unwrap();
    fs::write(directory.path().join("short"), "hush\n").unwrap();
    for (keys, word) in [
        ("secret_env = \"UNSET\"", "`UNSET` is not set"),
        ("secret_file = \"nowhere\"", "cannot read"),
        ("secret_file = \"empty\"", "is empty"),
        ("secret_file = \"short\"", "at least 16 characters"),
        ("secret = \"fifteen letters\"", "at least 16 characters"),
        ("secret = 3", "found an integer"),
        ("secret_env = \"\"", "is empty"),
    ] {
        let problems = read_in(&cookie(keys), &bare(directory.path())).unwrap_err();
        assert_eq!(problems.iter().count(), 1, "{problems}");
        assert!(problems.to_string().contains(word), "{problems}");
        assert!(!problems.to_string().contains("hush"), "{problems}");
    }
}

#[test]
fn a_secret_is_given_once() {
    let two = cookie("secret = \"a secret that is long\", secret_env = \"LONG\"");
    refuses(&two, "affinity", &["given twice", "first given here"]);
}

#[test]
fn a_secret_is_not_shown_by_another_problem_of_its_line() {
    let text = cookie("secret = \"a secret that is long\", max_age = 3");
    assert!(!problems(&text).to_string().contains("a secret"));
    let text = cookie("sercet = \"a secret that is long\"");
    assert!(!problems(&text).to_string().contains("a secret"));
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
    assert_eq!(tls.certificates[0].cert[0], *made.cert.der());
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
    assert_eq!(
        (tls.roots.len(), tls.server_name.as_deref()),
        (1, Some("inner"))
    );

    let system = Surroundings {
        authorities: one_authority,
        ..bare(Path::new(FIXTURES))
    };
    for tls in ["", "tls = { server_name = \"inner\" }"] {
        let config = read_in(&backends("[\"https://h\"]", tls), &system).unwrap();
        assert_eq!(config.pools[0].tls.as_ref().unwrap().roots.len(), 1);
    }
    let config = read_in(&backends("[\"http://h:1\"]", ""), &system).unwrap();
    assert!(config.pools[0].tls.is_none());
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
