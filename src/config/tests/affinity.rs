//! Affinity, its cookie and its secret.

use std::{fs, time::Duration};

use cookie::SameSite;

use super::{
    super::{Affinity, Config, CookieAffinity, Secret},
    backends, bare, only, problems, read_in, refuses, said, valid,
};

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
        "{ by = \"ip\", ipv6_prefix = 48, expiry = \"5m\", clients = 7 }",
    ));
    assert!(matches!(&ip.pools[0].affinity, Affinity::Ip(ip) if ip.ipv6_prefix == 48));
    assert!(matches!(&ip.pools[0].affinity, Affinity::Ip(ip) if ip.clients.get() == 7));
    let header = valid(&affinity("{ by = \"header\", name = \"X-Room\" }"));
    assert!(matches!(&header.pools[0].affinity, Affinity::Header(key) if key.name == "x-room"));
    let query = valid(&affinity("{ by = \"query\", name = \"room\" }"));
    assert!(matches!(&query.pools[0].affinity, Affinity::Query(key) if key.name == "room"));
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
        ("{ by = \"ip\", clients = 0 }", "an integer from 1"),
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
    let text = cookie("partitioned = true, secure = false");
    refuses(&text, "affinity", &["partitioned cookie must be secure"]);
    let config = valid(&cookie("partitioned = true"));
    assert!(matches!(&config.pools[0].affinity, Affinity::Cookie(cookie) if cookie.partitioned));
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
