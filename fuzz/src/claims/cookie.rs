//! The affinity cookie.

use std::{net::IpAddr, path::Path, sync::LazyLock};

use http::{HeaderMap, HeaderValue, Uri, header::COOKIE};
use longwire::{
    config::Config,
    pool::{
        Pool,
        affinity::{Asker, Outcome},
        backend::Use,
    },
};

use crate::Input;

const CONFIG: &str = r#"
[[listener]]
address = "127.0.0.1:0"
[[route]]
pool = "main"
[pool.main]
backends = ["127.0.0.1:9", "127.0.0.1:10"]
affinity = { by = "cookie", secret = "a secret of the fuzz targets" }
"#;

static POOL: LazyLock<Pool> = LazyLock::new(|| {
    let config = Config::parse(CONFIG, "a fuzz target", Path::new("")).unwrap();
    Pool::new(&config.pools[0], &config.timeouts, &config.limits, 1).unwrap()
});

/// The `name=value` that a new client is given.
static ISSUED: LazyLock<String> = LazyLock::new(|| {
    let (outcome, cookie) = selected(&HeaderMap::new());
    assert_eq!(outcome, Outcome::New);
    let pair = cookie.unwrap();
    pair.to_str().unwrap().split(';').next().unwrap().to_owned()
});

/// Holds that a client is brought back to a backend only by a cookie that was issued, letter by
/// letter, whatever stands around it.
pub fn only_a_cookie_that_was_issued_brings_its_bearer_back(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let issued = ISSUED.as_str();
    let token = issued.split_once('=').unwrap().1;
    let (front, back) = token.split_at(token.len() / 2);
    let words = [
        "longwire=",
        issued,
        token,
        front,
        back,
        ";",
        "; ",
        "=",
        "\"",
        "$Version=1",
        ",",
        " ",
    ];
    let mut headers = HeaderMap::new();
    for _ in 0..=input.byte() % 3 {
        let mut value = issued.as_bytes().to_vec();
        match input.byte() % 3 {
            0 => value = input.text(&words, 12),
            1 => value.extend(input.text(&words, 12)),
            _ => {}
        }
        let (at, change) = (input.length(), input.byte());
        if let Some(byte) = value.get_mut(at) {
            *byte ^= change;
        }
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            headers.append(COOKIE, value);
        }
    }
    let (outcome, _) = selected(&headers);
    let shows_it = headers.get_all(COOKIE).iter().any(|value| {
        let value = value.as_bytes();
        value
            .windows(token.len())
            .any(|part| part == token.as_bytes())
    });
    match outcome {
        Outcome::Kept => assert!(shows_it, "{headers:?} was not issued"),
        Outcome::New | Outcome::Forged => {}
        Outcome::None | Outcome::Moved => panic!("{outcome:?} for {headers:?}"),
    }
}

fn selected(headers: &HeaderMap) -> (Outcome, Option<HeaderValue>) {
    let asker = Asker {
        ip: IpAddr::from([127, 0, 0, 1]),
        over_tls: false,
        headers,
        uri: &Uri::from_static("/"),
    };
    let mut selection = POOL.select(&asker, Use::Request);
    let lease = selection.next().unwrap();
    let selected = selection.settle(lease);
    (selected.affinity, selected.cookie)
}
