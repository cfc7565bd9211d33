//! Addresses: where backends are, and where listeners listen.

use std::{
    fmt,
    net::{Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::{field::Field, host::checked_name, reading::Reported, values::text};

const A_BACKEND: &str =
    "`host:port`, `http://host:port`, `https://host[:port]` or `unix:/path/of/a/socket`";
/// `sun_path` of Linux, without its final NUL.
const LONGEST_SOCKET_PATH: usize = 107;

/// Where a backend is. Its `Display` is the one spelling used in logs and hashes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendAddress {
    /// `host:port`, or `http://host:port`: plain TCP. The host is an IP address or a name, which
    /// is looked up again and again while it is used.
    Tcp {
        /// An IP address without brackets, or a name.
        host: String,
        /// The port.
        port: u16,
    },
    /// `https://host:port`: TLS over TCP; the port defaults to 443.
    Tls {
        /// An IP address without brackets, or a name.
        host: String,
        /// The port.
        port: u16,
    },
    /// `unix:/path`: a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for BackendAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::Tcp { host, port } => ("", host, port),
            Self::Tls { host, port } => ("https://", host, port),
            Self::Unix(path) => return write!(f, "unix:{}", path.display()),
        };
        if host.contains(':') {
            write!(f, "{scheme}[{host}]:{port}")
        } else {
            write!(f, "{scheme}{host}:{port}")
        }
    }
}

impl BackendAddress {
    pub(super) fn read(field: &Field<'_>) -> Result<Self, Reported> {
        let written = text(field, A_BACKEND)?;
        Self::parse(written).map_err(|why| {
            let message = format!("`{}` is no backend: {why}", written.escape_debug());
            field.fault(message, format!("expected {A_BACKEND}"))
        })
    }

    /// Whether TLS is spoken to it.
    pub(super) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls { .. })
    }

    fn parse(written: &str) -> Result<Self, &'static str> {
        if let Some(path) = written.strip_prefix("unix:") {
            return unix(path);
        }
        let (scheme, authority) = written.split_once("://").unwrap_or(("http", written));
        let default_port = match scheme {
            "http" => None,
            "https" => Some(443),
            "ws" => return Err("a WebSocket begins as HTTP: write `http://`"),
            "wss" => return Err("a WebSocket begins as HTTP: write `https://`"),
            _ => return Err("its scheme is unknown"),
        };
        let (host, port) = host_and_port(authority, default_port)?;
        Ok(match scheme {
            "https" => Self::Tls { host, port },
            _ => Self::Tcp { host, port },
        })
    }
}

fn unix(path: &str) -> Result<BackendAddress, &'static str> {
    if !path.starts_with('/') || path.starts_with("//") {
        return Err("the path of a socket is absolute, with one `/` in front");
    }
    if path.len() > LONGEST_SOCKET_PATH {
        return Err("the path of a socket has at most 107 bytes");
    }
    if path.contains('\0') {
        return Err("a path has no NUL");
    }
    Ok(BackendAddress::Unix(PathBuf::from(path)))
}

fn host_and_port(
    authority: &str,
    default_port: Option<u16>,
) -> Result<(String, u16), &'static str> {
    if authority.contains(['/', '?', '#']) {
        return Err("an address ends after the port");
    }
    if authority.contains('@') {
        return Err("an address has no user");
    }
    let (host, rest) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (host, rest) = bracketed.split_once(']').ok_or("a bracket is open")?;
            let address: Ipv6Addr = host
                .parse()
                .map_err(|_| "what is in brackets is no IPv6 address")?;
            (address.to_string(), rest)
        }
        None if authority.matches(':').count() > 1 => {
            return Err("an IPv6 address stands in brackets");
        }
        None => {
            let colon = authority.find(':').unwrap_or(authority.len());
            let (host, rest) = authority.split_at(colon);
            (checked_name(host)?, rest)
        }
    };
    let port = match rest.strip_prefix(':') {
        Some(port) => parsed_port(port)?,
        None if rest.is_empty() => default_port.ok_or("the port is missing")?,
        None => return Err("after the bracket comes the port"),
    };
    Ok((host, port))
}

/// A port from 1, in digits alone.
pub(super) fn parsed_port(port: &str) -> Result<u16, &'static str> {
    Some(port)
        .filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|port| port.parse().ok())
        .filter(|port| *port > 0)
        .ok_or("a port is a number from 1 to 65535")
}

/// The address of a listener.
pub(super) fn listened(field: &Field<'_>) -> Result<SocketAddr, Reported> {
    let expected = "an IP address and a port, such as \"0.0.0.0:8080\" or \"[::]:8080\"";
    let written = text(field, expected)?;
    written.parse().map_err(|_| {
        let message = format!("`{}` cannot be listened on", written.escape_debug());
        field.fault(message, format!("expected {expected}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_backend_has_one_spelling() {
        for (written, shown) in [
            ("10.0.0.1:9001", "10.0.0.1:9001"),
            ("http://10.0.0.1:9001", "10.0.0.1:9001"),
            ("[::1]:9001", "[::1]:9001"),
            ("[0:0::1]:9001", "[::1]:9001"),
            ("Name.Internal:9001", "name.internal:9001"),
            ("https://h", "https://h:443"),
            ("https://h:8443", "https://h:8443"),
            ("https://[::1]", "https://[::1]:443"),
            ("unix:/run/x.sock", "unix:/run/x.sock"),
        ] {
            let address = BackendAddress::parse(written).unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(BackendAddress::parse(shown).unwrap(), address);
        }
    }

    #[test]
    fn what_is_no_backend_is_refused_with_the_reason() {
        let long = format!("unix:/{}", "x".repeat(107));
        for (written, why) in [
            ("10.0.0.1", "port is missing"),
            ("http://h", "port is missing"),
            ("h:0", "from 1 to 65535"),
            ("h:65536", "from 1 to 65535"),
            ("h:+1", "from 1 to 65535"),
            ("h:", "from 1 to 65535"),
            (":80", "empty"),
            ("", "empty"),
            ("::1:80", "brackets"),
            ("[::1]80", "after the bracket"),
            ("[::1", "open"),
            ("[x]:1", "no IPv6"),
            ("300.1.1.1:80", "no IPv4"),
            ("http://h:1/", "ends after the port"),
            ("http://h:1?x", "ends after the port"),
            ("http://me@h:1", "no user"),
            ("ws://h:1", "`http://`"),
            ("wss://h", "`https://`"),
            ("ftp://h:1", "scheme"),
            ("unix:x.sock", "absolute"),
            ("unix:///x.sock", "one `/`"),
            ("unix:/a\0b", "NUL"),
            (&long, "107 bytes"),
        ] {
            let refused = BackendAddress::parse(written).unwrap_err();
            assert!(refused.contains(why), "{written}: {refused}");
        }
    }
}
