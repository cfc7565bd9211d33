//! The headers in which somebody says who a client is, or what it asked for.
//!
//! There are many, each believed by some application or framework. A client can write any of them.

use std::borrow::Cow;

/// What a header claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// The client's address.
    Address,
    /// The scheme that it came by.
    Scheme,
    /// The host that it asked for.
    Host,
    /// The target that it asked for.
    Target,
    /// Something else, which nobody but a trusted proxy can know.
    Other,
    /// Something that no honest proxy says: `Proxy`, which CGI programs take for the variable
    /// `HTTP_PROXY`, and what gateways of CGI and WSGI take for one of the others, since to them
    /// `X_Real_IP` is `X-Real-IP`.
    Forged,
}

const ADDRESS: [&str; 27] = [
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-pseudo-ipv4",
    "client-ip",
    "cluster-client-ip",
    "do-connecting-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "proxy-client-ip",
    "remote-addr",
    "true-client-ip",
    "wl-proxy-client-ip",
    "x-appengine-user-ip",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-coming-from",
    "x-envoy-external-address",
    "x-original-forwarded-for",
    "x-originating-ip",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-true-client-ip",
    "x-true-ip",
];

const SCHEME: [&str; 8] = [
    "front-end-https",
    "x-arr-ssl",
    "x-forwarded-protocol",
    "x-forwarded-scheme",
    "x-forwarded-ssl",
    "x-proto",
    "x-scheme",
    "x-url-scheme",
];

const HOST: [&str; 5] = [
    "x-host",
    "x-http-host-override",
    "x-original-host",
    "x-real-host",
    "x-rewrite-host",
];

const TARGET: [&str; 5] = [
    "x-envoy-original-path",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-uri",
    "x-rewrite-url",
];

/// What a proxy that ends TLS knows of a client's certificate (RFC 9440 for the first two).
const OTHER: [&str; 6] = [
    "client-cert",
    "client-cert-chain",
    "ssl-client-cert",
    "ssl-client-verify",
    "x-arr-clientcert",
    "x-client-cert",
];

/// Families of which every member claims something.
const PREFIXES: [&str; 3] = ["forwarded-", "x-forwarded-", "x-ssl-client-"];

const PROXY: &str = "proxy";

impl Claim {
    /// The claim that a header makes by its name, which is in lower case; `None` for most. Those
    /// that are written anew for every request count as [`Other`](Self::Other).
    pub(super) fn of(name: &str) -> Option<Self> {
        if name == PROXY {
            return Some(Self::Forged);
        }
        let folded = folded(name);
        let claim = Self::named(&folded)?;
        Some(match folded {
            Cow::Borrowed(_) => claim,
            Cow::Owned(_) => Self::Forged,
        })
    }

    fn named(name: &str) -> Option<Self> {
        let kinds = [
            (&ADDRESS[..], Self::Address),
            (&SCHEME, Self::Scheme),
            (&HOST, Self::Host),
            (&TARGET, Self::Target),
            (&OTHER, Self::Other),
        ];
        let mut kinds = kinds.into_iter();
        let known = kinds.find(|(names, _)| names.binary_search(&name).is_ok());
        known.map(|(_, claim)| claim).or_else(|| {
            let is_family = PREFIXES.iter().any(|prefix| name.starts_with(prefix))
                || ["forwarded", "x-forwarded"].contains(&name);
            is_family.then_some(Self::Other)
        })
    }
}

/// A name as it is once it is a variable of CGI (RFC 3875, section 4.1.18), with hyphens.
fn folded(name: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if name.chars().all(is_plain) {
        return Cow::Borrowed(name);
    }
    let fold = |c| if is_plain(c) { c } else { '-' };
    Cow::Owned(name.chars().map(fold).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_known_for_what_it_claims() {
        let kinds: [(&[&str], Claim); 5] = [
            (&ADDRESS, Claim::Address),
            (&SCHEME, Claim::Scheme),
            (&HOST, Claim::Host),
            (&TARGET, Claim::Target),
            (&OTHER, Claim::Other),
        ];
        for (names, claim) in kinds {
            assert!(names.is_sorted(), "{names:?}");
            for name in names {
                assert_eq!(Claim::of(name), Some(claim), "{name}");
            }
        }
        for name in [
            "forwarded",
            "forwarded-for",
            "x-forwarded",
            "x-forwarded-for",
            "x-forwarded-anything",
        ] {
            assert_eq!(Claim::of(name), Some(Claim::Other), "{name}");
        }
    }

    #[test]
    fn no_other_spelling_saves_a_claim() {
        for name in [
            "proxy",
            "x_forwarded_for",
            "x-forwarded_for",
            "x_real_ip",
            "true_client_ip",
            "x.real.ip",
            "x_original_url",
            "x_forwarded_anything",
        ] {
            assert_eq!(Claim::of(name), Some(Claim::Forged), "{name}");
        }
    }

    #[test]
    fn most_headers_claim_nothing() {
        for name in [
            "host",
            "cookie",
            "x-forward",
            "x-request-id",
            "x_request_id",
            "proxy-authorization",
            "x-http-method-override",
            "x-forwardedness",
            "via",
        ] {
            assert_eq!(Claim::of(name), None, "{name}");
        }
    }

    #[test]
    fn the_documentation_names_them_all() {
        let told = include_str!("../../docs/requests.md").to_lowercase();
        let names = [&ADDRESS[..], &SCHEME, &HOST, &TARGET, &OTHER];
        for name in names.into_iter().flatten().chain(&PREFIXES) {
            assert!(told.contains(&format!("`{name}")), "{name}");
        }
    }
}
