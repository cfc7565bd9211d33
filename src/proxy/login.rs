//! Logins that hold for a connection (NTLM, Negotiate): whoever has logged in over a connection to a
//! backend keeps it, and nobody else gets it.

use std::sync::{Arc, Mutex, MutexGuard};

use http::{
    HeaderMap, HeaderName, Response, StatusCode,
    header::{AUTHORIZATION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, WWW_AUTHENTICATE},
};
use tokio::time::{Instant, timeout};

use super::{
    Exchange,
    body::{Home, LEFTOVER_PATIENCE},
    reply::Rejection,
};
use crate::pool::{Pool, backend::Backend, idle::HttpConnection, standing::State};

/// The schemes that log in whoever sends over a connection, and not only a request (RFC 4559,
/// section 6).
const SCHEMES: [&[u8]; 3] = [b"ntlm", b"negotiate", b"kerberos"];

/// The connections to backends that belong to one client's connection. They end with it.
#[derive(Debug, Default)]
pub struct Logins(Mutex<Vec<Login>>);

/// A connection to a backend over which a client has logged in, or is about to.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) connection: HttpConnection,
    pub(super) backend: Arc<Backend>,
    /// Whether the backend has answered with a challenge that the client has to meet over this very
    /// connection.
    pub(super) is_challenged: bool,
}

impl Logins {
    /// The client's own connection to a member of `pool`, ready for a request; `None` if it has
    /// none that can go on, so that it logs in anew.
    ///
    /// # Errors
    /// If a challenge came over it that cannot be met any more.
    pub(super) async fn take(&self, pool: &Pool) -> Result<Option<Login>, Rejection> {
        let Some(mut login) = self.find(pool) else {
            return Ok(None);
        };
        let state = login.backend.state(Instant::now());
        let serves = matches!(state, State::Ready | State::Draining);
        let is_open = serves
            && !login.backend.idle().is_closed()
            // What is left of the last exchange may still be on its way.
            && matches!(timeout(LEFTOVER_PATIENCE, login.connection.ready()).await, Ok(Ok(())));
        match is_open {
            true => Ok(Some(login)),
            false if login.is_challenged => Err(Rejection::LoginLost),
            false => Ok(None),
        }
    }

    /// Keeps a connection for the client's next request.
    pub(super) fn keep(&self, login: Login) {
        self.kept().push(login);
    }

    /// The login with a member of `pool`, or one whose backend is no member of any pool now and that
    /// leaves a challenge behind.
    fn find(&self, pool: &Pool) -> Option<Login> {
        let mut kept = self.kept();
        let is_gone = |login: &Login| login.backend.idle().is_closed();
        kept.retain(|login| login.is_challenged || !is_gone(login));
        let index = kept
            .iter()
            .position(|login| is_gone(login) || pool.member_with(login.backend.id()).is_some())?;
        Some(kept.swap_remove(index))
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Login>> {
        self.0.lock().expect("no holder panics")
    }
}

impl Exchange<'_> {
    /// The connection that the client has logged in over, if it has one to this pool.
    pub(super) async fn login(&self) -> Result<Option<Login>, Rejection> {
        self.arrival.connection.logins.take(&self.route.pool).await
    }

    /// Where the connection of a response waits if it belongs to the client, which it does if it
    /// [is bound](Login) already or the response binds it.
    pub(super) fn home_of_login<B>(
        &self,
        response: &Response<B>,
        backend: &Arc<Backend>,
        is_bound: bool,
    ) -> Option<Home> {
        let is_bound = is_bound || is_in_response(response.headers());
        is_bound.then(|| Home::Client {
            logins: Arc::clone(&self.arrival.connection.logins),
            backend: Arc::clone(backend),
            is_challenged: is_challenge(response),
        })
    }
}

/// Whether a request logs in for its connection.
pub(super) fn is_in_request(headers: &HeaderMap) -> bool {
    let credentials = [AUTHORIZATION, PROXY_AUTHORIZATION];
    credentials
        .iter()
        .any(|name| schemes(headers, name).next().is_some())
}

/// Whether a response is about a login for its connection.
pub(super) fn is_in_response(headers: &HeaderMap) -> bool {
    let challenges = [WWW_AUTHENTICATE, PROXY_AUTHENTICATE];
    challenges
        .iter()
        .any(|name| schemes(headers, name).next().is_some())
}

/// Whether a response is a challenge in the midst of such a login: one that says more than which
/// schemes there are.
pub(super) fn is_challenge<B>(response: &Response<B>) -> bool {
    let name = match response.status() {
        StatusCode::UNAUTHORIZED => WWW_AUTHENTICATE,
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => PROXY_AUTHENTICATE,
        _ => return false,
    };
    schemes(response.headers(), &name).any(|data| !data.is_empty())
}

/// What follows each of the schemes in a list of credentials or challenges. A comma within quotes
/// counts too: what looks like such a scheme is taken for one.
fn schemes<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h [u8]> {
    let values = headers.get_all(name).into_iter();
    let elements = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    elements.filter_map(|element| {
        let element = element.trim_ascii();
        let end = element
            .iter()
            .position(|byte| !byte.is_ascii_alphanumeric());
        let (scheme, data) = element.split_at(end.unwrap_or(element.len()));
        let is_known = SCHEMES
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known));
        is_known.then(|| data.trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
        let pairs = values
            .iter()
            .map(|value| (name.clone(), value.parse().unwrap()));
        pairs.collect()
    }

    #[test]
    fn a_scheme_is_found_in_every_line_and_list_and_spelling() {
        for values in [
            &["NTLM"][..],
            &["ntlm TlRMTVNTUAAC"],
            &["Negotiate"],
            &["nEGOTIATE oYIB=="],
            &["Kerberos"],
            &["Basic realm=\"a, b\"", "NTLM"],
            &["Basic realm=\"a\", Negotiate"],
            &["Digest realm=\"a\" ,\tNTLM\tTlRM, Basic"],
        ] {
            assert!(
                is_in_response(&headers(&WWW_AUTHENTICATE, values)),
                "{values:?}"
            );
            assert!(
                is_in_response(&headers(&PROXY_AUTHENTICATE, values)),
                "{values:?}"
            );
            assert!(
                is_in_request(&headers(&AUTHORIZATION, values)),
                "{values:?}"
            );
        }
        for values in [
            &[][..],
            &["Basic TlRM"],
            &["Bearer NTLM"],
            &["Digest qop=NTLM"],
            &["NTLMv3"],
            &["XNTLM"],
        ] {
            assert!(
                !is_in_response(&headers(&WWW_AUTHENTICATE, values)),
                "{values:?}"
            );
            assert!(
                !is_in_request(&headers(&AUTHORIZATION, values)),
                "{values:?}"
            );
        }
    }

    #[test]
    fn a_challenge_has_something_to_be_met() {
        let answered = |status: u16, value: &str| {
            let response = Response::builder().status(status);
            is_challenge(&response.header(WWW_AUTHENTICATE, value).body(()).unwrap())
        };
        assert!(answered(401, "NTLM TlRMTVNTUAAC"));
        assert!(answered(401, "Basic, negotiate oYIB=="));
        assert!(!answered(401, "Basic realm=\"a\", NTLM"));
        assert!(!answered(200, "Negotiate oYIB=="));
    }
}
