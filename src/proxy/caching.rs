//! Whether a cache that many share may keep a response, and give its headers to all of them.

use std::time::SystemTime;

use http::{
    HeaderMap, HeaderName,
    header::{CACHE_CONTROL, DATE, EXPIRES},
};

/// Whether a shared cache is told that it may keep a response (RFC 9111, section 3). One that was
/// told nothing may do so too, but none that is known does if the response sets a cookie.
pub(super) fn is_for_all(headers: &HeaderMap) -> bool {
    let targeted = headers.iter().filter(|(name, _)| is_targeted(name));
    if targeted.map(|(_, value)| value.as_bytes()).any(invites) {
        return true;
    }
    let values = headers.get_all(CACHE_CONTROL).into_iter();
    let directives: Vec<_> = values
        .flat_map(|value| directives(value.as_bytes()))
        .collect();
    let has = |named: &str| {
        directives
            .iter()
            .any(|(name, value)| name == named && value.is_empty())
    };
    if has("private") || has("no-store") {
        return false;
    }
    let decides = |name: &str| matches!(name, "max-age" | "s-maxage" | "no-cache");
    directives
        .iter()
        .any(|(name, value)| invites_as(name, value))
        || !directives.iter().any(|(name, _)| decides(name)) && expires_later(headers)
}

/// Headers that tell caches of one kind what `Cache-Control` tells all (RFC 9213).
fn is_targeted(name: &HeaderName) -> bool {
    name.as_str().ends_with("-cache-control") || name == "surrogate-control"
}

fn invites(value: &[u8]) -> bool {
    let directives: Vec<_> = directives(value).collect();
    let refuses = |name: &str| matches!(name, "private" | "no-store");
    !directives.iter().any(|(name, _)| refuses(name))
        && directives
            .iter()
            .any(|(name, value)| invites_as(name, value))
}

/// Whether a directive lets shared caches keep a response for a while.
fn invites_as(name: &str, value: &str) -> bool {
    let is_a_while = value.bytes().any(|digit| matches!(digit, b'1'..=b'9'));
    match name {
        "public" => true,
        "max-age" | "s-maxage" => is_a_while,
        _ => false,
    }
}

/// The directives of a value in lower case, each with its argument, without quotes. A list in quotes
/// comes apart; what its other elements say is not taken for directives of any weight.
fn directives(value: &[u8]) -> impl Iterator<Item = (String, String)> {
    let text = String::from_utf8_lossy(value).to_ascii_lowercase();
    let directives = text.split(',').map(|directive| {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        let value = value.trim().trim_matches('"');
        (name.trim().to_owned(), value.to_owned())
    });
    directives.collect::<Vec<_>>().into_iter()
}

fn expires_later(headers: &HeaderMap) -> bool {
    let date = |name| {
        let value = headers.get(name)?.to_str().ok()?;
        httpdate::parse_http_date(value).ok()
    };
    let now = date(DATE).unwrap_or_else(SystemTime::now);
    date(EXPIRES).is_some_and(|expires| expires > now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_kept(lines: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        is_for_all(&headers)
    }

    #[test]
    fn a_response_is_for_all_where_shared_caches_are_told_so() {
        for value in [
            "public",
            "PUBLIC, no-cache",
            "max-age=60",
            "s-maxage=\"60\"",
            "s-maxage=60, max-age=0",
            "max-age=60, private=\"x-user\"",
        ] {
            assert!(is_kept(&[("cache-control", value)]), "{value}");
        }
        assert!(is_kept(&[
            ("cache-control", "no-transform"),
            ("cache-control", "max-age=1")
        ]));
        assert!(is_kept(&[
            ("cache-control", "private"),
            ("cdn-cache-control", "max-age=60")
        ]));
        assert!(is_kept(&[("surrogate-control", "max-age=60")]));
    }

    #[test]
    fn a_response_is_for_its_client_otherwise() {
        for value in [
            "",
            "private",
            "private, max-age=60",
            "public, no-store",
            "max-age=0",
            "max-age=0, must-revalidate",
            "no-cache",
            "max-age",
        ] {
            assert!(!is_kept(&[("cache-control", value)]), "{value}");
        }
        assert!(!is_kept(&[]));
        assert!(!is_kept(&[("cdn-cache-control", "no-store, max-age=60")]));
    }

    #[test]
    fn an_old_server_says_it_by_expires() {
        let (early, late) = (
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sat, 06 Nov 2094 08:49:37 GMT",
        );
        assert!(is_kept(&[("expires", late)]));
        assert!(is_kept(&[("expires", late), ("date", early)]));
        assert!(!is_kept(&[("expires", late), ("date", late)]));
        assert!(!is_kept(&[("expires", early)]));
        assert!(!is_kept(&[("expires", "0")]));
        assert!(!is_kept(&[
            ("expires", late),
            ("cache-control", "max-age=0")
        ]));
        assert!(!is_kept(&[("expires", late), ("cache-control", "private")]));
    }
}
