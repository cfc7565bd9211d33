//! What a request is for: its host, agreed on by all parts of the request that name one.

use std::net::Ipv6Addr;

use http::{
    HeaderValue, Method, Uri, Version,
    header::{EXPECT, HOST},
    request,
    uri::{Authority, PathAndQuery},
};

use super::{Exchange, headers, reply::Rejection};

/// The host that a request is for.
#[derive(Debug)]
pub(super) struct Target {
    /// As the client wrote it, with its port.
    authority: Option<Authority>,
}

impl Target {
    /// The target of a request that can be read in one way only.
    ///
    /// # Errors
    /// If a backend might read it otherwise than we do.
    pub(super) fn of(request: &request::Parts) -> Result<Self, Rejection> {
        if request.method == Method::CONNECT {
            return Err(Rejection::BadRequest("CONNECT is not served here"));
        }
        if shows_requests(&request.method) {
            return Err(Rejection::Method);
        }
        if headers::nominates_end_to_end(&request.headers) {
            let why = "a Connection that names what is not for the next hop alone";
            return Err(Rejection::BadRequest(why));
        }
        if headers::has_foreign_coding(&request.headers) {
            return Err(Rejection::TransferCoding);
        }
        let mut hosts = request.headers.get_all(HOST).iter();
        let host = hosts
            .next()
            .map(|host| authority(host.as_bytes()))
            .transpose()?;
        if hosts.next().is_some() {
            return Err(Rejection::BadRequest("more than one Host"));
        }
        if host.is_none() && request.version == Version::HTTP_11 {
            return Err(Rejection::BadRequest("no Host"));
        }
        if let Some(named) = request.uri.authority()
            && host.as_ref() != Some(named)
        {
            return Err(Rejection::BadRequest("a target elsewhere than its Host"));
        }
        Ok(Self { authority: host })
    }

    /// The name or address without port; empty if an HTTP/1.0 client has named none.
    pub(super) fn host(&self) -> &str {
        let host = self.authority.as_ref().map_or("", Authority::host);
        host.strip_suffix('.').unwrap_or(host)
    }

    /// The host as backends see it unless the route sets another.
    pub(super) fn authority(&self) -> &str {
        // A client of HTTP/1.0 need not name a host, but we speak HTTP/1.1 to backends.
        self.authority
            .as_ref()
            .map_or("localhost", Authority::as_str)
    }
}

/// Whether a method answers with the request, and so with what a proxy has written into it or a
/// script is not to see. `TRACK` is another name of `TRACE`, and some servers take any case.
fn shows_requests(method: &Method) -> bool {
    let method = method.as_str();
    ["TRACE", "TRACK"]
        .iter()
        .any(|name| method.eq_ignore_ascii_case(name))
}

/// A host that a request names, with a port or without (RFC 9110, section 7.2).
///
/// # Errors
/// If it is none, or its port is not.
pub(super) fn authority(host: &[u8]) -> Result<Authority, Rejection> {
    let authority = Authority::try_from(host).ok();
    authority
        .filter(|authority| !authority.as_str().contains('@'))
        .filter(has_host_and_port)
        .ok_or(Rejection::BadRequest("a Host that is none"))
}

/// Whether an address in brackets is one, and behind a colon stands a port or nothing (RFC 3986,
/// sections 3.2.2 and 3.2.3).
fn has_host_and_port(authority: &Authority) -> bool {
    let host = authority.host();
    let is_address = match host.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => !host.is_empty(),
    };
    let rest = &authority.as_str()[host.len()..];
    let is_port = |port: &str| {
        port.is_empty()
            || port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
    };
    is_address && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
}

impl Exchange<'_> {
    /// The head of the client's request as a backend gets it.
    pub(super) fn head_for_backend(&self, mut head: request::Parts) -> request::Parts {
        let takes_trailers = headers::takes_trailers(&head.headers);
        headers::remove_hop_by_hop(&mut head.headers);
        if takes_trailers {
            headers::take_trailers(&mut head.headers);
        }
        let authority = self.arrival.target.authority();
        if !self.terms.limits.underscores {
            headers::remove_underscores(&mut head.headers);
        }
        let target = head.uri.path_and_query().map_or("", PathAndQuery::as_str);
        if let Some(via) = &self.terms.via {
            via.write(&mut head.headers, head.version);
        }
        headers::write_forwarded(&mut head.headers, self.arrival.client, target);
        let host = self.route.set_host.clone();
        let host = host.or_else(|| HeaderValue::from_str(authority).ok());
        if let Some(host) = host {
            head.headers.insert(HOST, host);
        }
        if let Some(path_and_query) = head.uri.path_and_query() {
            head.uri = Uri::from(path_and_query.clone());
        }
        if head.version < Version::HTTP_11 {
            // No client of HTTP/1.0 can be told to continue (RFC 9110, section 10.1.1).
            head.headers.remove(EXPECT);
        }
        head.version = Version::HTTP_11;
        head.extensions.clear();
        head
    }
}
