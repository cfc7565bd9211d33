//! Backends that are this proxy itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::BackendAddress;

/// Whether a connection to `backend` would come in at `listener`.
///
/// Of names only `localhost` is known: what others resolve to is seen when a request comes back.
pub(super) fn leads_to(backend: &BackendAddress, listener: SocketAddr) -> bool {
    let (host, port) = match backend {
        BackendAddress::Tcp { host, port } | BackendAddress::Tls { host, port } => (host, *port),
        BackendAddress::Unix(_) => return false,
    };
    port != 0 && port == listener.port() && addresses(host).any(|ip| reaches(ip, listener.ip()))
}

/// The addresses that a host is known to have.
fn addresses(host: &str) -> impl Iterator<Item = IpAddr> {
    let own = host.parse::<IpAddr>().ok();
    let is_localhost = host.trim_end_matches('.').eq_ignore_ascii_case("localhost");
    let local = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    own.into_iter()
        .chain(local.into_iter().filter(move |_| is_localhost))
        .map(|ip| match ip.to_canonical() {
            // To connect to no address is to connect to this machine.
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        })
}

fn reaches(ip: IpAddr, listener: IpAddr) -> bool {
    let listener = listener.to_canonical();
    if listener.is_unspecified() {
        ip.is_ipv4() == listener.is_ipv4() && is_local(ip)
    } else {
        ip == listener
    }
}

/// Whether an address is this machine's: a socket can be bound to no other.
fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads(host: &str, listener: &str) -> bool {
        let backend = BackendAddress::Tcp {
            host: host.to_owned(),
            port: 8080,
        };
        leads_to(&backend, listener.parse().unwrap())
    }

    #[test]
    fn a_backend_at_an_own_address_leads_back() {
        for (host, listener) in [
            ("127.0.0.1", "127.0.0.1:8080"),
            ("127.0.0.1", "0.0.0.0:8080"),
            ("127.8.9.1", "0.0.0.0:8080"),
            ("0.0.0.0", "127.0.0.1:8080"),
            ("0.0.0.0", "0.0.0.0:8080"),
            ("localhost", "127.0.0.1:8080"),
            ("LOCALHOST", "0.0.0.0:8080"),
            ("localhost", "[::1]:8080"),
            ("localhost", "[::]:8080"),
            ("::1", "[::]:8080"),
            ("::", "[::1]:8080"),
            ("::ffff:127.0.0.1", "127.0.0.1:8080"),
        ] {
            assert!(leads(host, listener), "{host} to {listener}");
        }
    }

    #[test]
    fn a_backend_elsewhere_does_not() {
        for (host, listener) in [
            ("127.0.0.1", "127.0.0.1:8081"),
            ("127.0.0.2", "127.0.0.1:8080"),
            ("192.0.2.1", "0.0.0.0:8080"),
            ("127.0.0.1", "[::]:8080"),
            ("2001:db8::1", "[::]:8080"),
            ("chat.example.com", "0.0.0.0:8080"),
        ] {
            assert!(!leads(host, listener), "{host} to {listener}");
        }
    }
}
