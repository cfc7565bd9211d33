//! Who may come in, and what no page from elsewhere may make a browser do.

use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode, Uri,
    header::{AUTHORIZATION, HOST, ORIGIN},
    request,
};

use crate::config::Token;

/// What guards one of the ways in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Guard {
    /// Whoever gets this far may do everything: the system lets nobody else open the socket.
    Open,
    /// Whoever is on this machine may do everything.
    Local,
    /// Whoever has the token may do everything.
    Token(Token),
}

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stopped {
    /// It does not show the token.
    #[error("this needs the header `Authorization: Bearer TOKEN`, with the `token` of `[admin]`")]
    Unknown,
    /// A page from elsewhere has made a browser send it.
    #[error("a page from elsewhere has nothing to ask for here")]
    CrossSite,
    /// It is for a name that may be anybody's.
    #[error("this is no name for this address: take the address itself, or localhost")]
    OddHost,
}

static FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

impl Guard {
    /// Whether a request may come in for more than what is everybody's.
    ///
    /// # Errors
    /// If not.
    pub(super) fn admit(&self, request: &request::Parts) -> Result<(), Stopped> {
        let headers = &request.headers;
        if is_cross_site(headers) {
            return Err(Stopped::CrossSite);
        }
        match self {
            // A page can make any name of its own lead to this machine.
            Self::Local if !is_for_this_machine(headers) => Err(Stopped::OddHost),
            Self::Open | Self::Local => Ok(()),
            Self::Token(token) => match bearer(headers) {
                Some(shown) if token.is(shown) => Ok(()),
                _ => Err(Stopped::Unknown),
            },
        }
    }
}

impl Stopped {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Unknown => StatusCode::UNAUTHORIZED,
            Self::CrossSite | Self::OddHost => StatusCode::FORBIDDEN,
        }
    }
}

/// Whether a browser says that a page from elsewhere is behind it (Fetch Metadata Request Headers,
/// W3C; RFC 6454, section 7).
fn is_cross_site(headers: &HeaderMap) -> bool {
    let from_elsewhere = |site: &HeaderValue| site != "same-origin" && site != "none";
    let of_another = |origin: &HeaderValue| host_of(origin) != host(headers);
    headers.get(&FETCH_SITE).is_some_and(from_elsewhere)
        || headers.get(ORIGIN).is_some_and(of_another)
}

/// The host and port of an origin, if it has any.
fn host_of(origin: &HeaderValue) -> Option<String> {
    let origin: Uri = origin.to_str().ok()?.parse().ok()?;
    let authority = origin.authority()?;
    Some(authority.as_str().to_ascii_lowercase())
}

fn host(headers: &HeaderMap) -> Option<String> {
    let host = headers.get(HOST)?.to_str().ok()?;
    Some(host.to_ascii_lowercase())
}

/// Whether a request is for an address, or a name that leads nowhere else.
fn is_for_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = host(headers) else {
        return false;
    };
    let Ok(authority) = host.parse::<http::uri::Authority>() else {
        return false;
    };
    let name = authority.host().trim_matches(['[', ']']);
    name == "localhost" || name.ends_with(".localhost") || name.parse::<std::net::IpAddr>().is_ok()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let shown = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = shown.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn request(fields: &[(&str, &str)]) -> request::Parts {
        let mut request = Request::builder().uri("/api/v1/status");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn with_token() -> Guard {
        Guard::Token(Token::new("the token of this test"))
    }

    #[test]
    fn the_token_opens_and_nothing_else_does() {
        let shown = |value| request(&[("host", "proxy"), ("authorization", value)]);
        for right in [
            "Bearer the token of this test",
            "bearer the token of this test",
        ] {
            assert_eq!(with_token().admit(&shown(right)), Ok(()));
        }
        for wrong in [
            "Bearer the token of this tesT",
            "Bearer the token of this test!",
            "Bearer ",
            "the token of this test",
            "Basic the token of this test",
        ] {
            let stopped = with_token().admit(&shown(wrong));
            assert_eq!(stopped, Err(Stopped::Unknown), "{wrong}");
        }
        assert_eq!(with_token().admit(&request(&[])), Err(Stopped::Unknown));
    }

    #[test]
    fn what_a_page_from_elsewhere_asks_is_refused_whoever_has_opened_it() {
        let token = ("authorization", "Bearer the token of this test");
        for elsewhere in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.example"),
            ("origin", "http://127.0.0.1:9091"),
            ("origin", "null"),
        ] {
            let asked = request(&[("host", "127.0.0.1:9090"), token, elsewhere]);
            for guard in [Guard::Open, Guard::Local, with_token()] {
                let stopped = guard.admit(&asked);
                assert_eq!(stopped, Err(Stopped::CrossSite), "{elsewhere:?}");
            }
        }
        for own in [
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "none"),
            ("origin", "http://127.0.0.1:9090"),
            ("origin", "https://127.0.0.1:9090"),
        ] {
            let asked = request(&[("host", "127.0.0.1:9090"), token, own]);
            for guard in [Guard::Open, Guard::Local, with_token()] {
                assert_eq!(guard.admit(&asked), Ok(()), "{own:?}");
            }
        }
    }

    #[test]
    fn a_name_that_anybody_may_give_this_machine_is_refused_without_a_token() {
        for own in [
            "127.0.0.1:9090",
            "[::1]:9090",
            "localhost",
            "LOCALHOST:9090",
            "a.localhost",
        ] {
            assert_eq!(
                Guard::Local.admit(&request(&[("host", own)])),
                Ok(()),
                "{own}"
            );
        }
        for odd in [
            "rebound.example:9090",
            "localhost.example",
            "",
            "127.0.0.1.example",
        ] {
            let stopped = Guard::Local.admit(&request(&[("host", odd)]));
            assert_eq!(stopped, Err(Stopped::OddHost), "{odd}");
        }
        assert_eq!(Guard::Local.admit(&request(&[])), Err(Stopped::OddHost));
        assert_eq!(Guard::Open.admit(&request(&[])), Ok(()));
    }
}
