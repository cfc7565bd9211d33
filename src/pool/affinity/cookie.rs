//! The affinity cookie: signed, expiring, and without an address in it.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use cookie::Cookie;
use http::{HeaderMap, HeaderValue, header::COOKIE};

use super::ranking;
use crate::config::{self, CookieAffinity};

/// What makes and reads the cookies of a pool.
#[derive(Debug)]
pub(super) struct Jar {
    config: CookieAffinity,
    pool: String,
    /// What stands for each backend in a cookie.
    tags: Vec<Tag>,
}

/// A keyed hash of a backend's address: the same for all proxies that share the secret, and
/// nothing to anybody else.
type Tag = [u8; 8];

/// What is in a cookie: when it expires, in seconds since 1970, the backend's tag, and the
/// signature over both and the pool's name.
const EXPIRY_LEN: usize = 8;
const TAG_LEN: usize = size_of::<Tag>();
const TOKEN_LEN: usize = EXPIRY_LEN + TAG_LEN + blake3::OUT_LEN;

/// What a client shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presented {
    /// No cookie of ours, or one that has expired.
    Nothing,
    /// One that we have not signed.
    Forged,
    /// A valid one for a backend that is no longer in the pool.
    Gone,
    /// A valid one.
    Backend {
        /// The backend's index.
        index: usize,
        /// Whether it has lived so long that the client should get a new one.
        renew: bool,
        /// What tells the cookie from others.
        key: u64,
    },
}

impl Jar {
    /// A jar for the pool of that name and with those members.
    pub(super) fn new(config: &CookieAffinity, pool: &str, backends: &[config::Backend]) -> Self {
        let tag = |backend: &config::Backend| {
            let address = backend.address.to_string();
            let hash = keyed_hash(config, &[b"backend", pool.as_bytes(), address.as_bytes()]);
            let (tag, _) = hash
                .as_bytes()
                .split_first_chunk()
                .expect("a hash is longer");
            *tag
        };
        Self {
            config: config.clone(),
            pool: pool.to_owned(),
            tags: backends.iter().map(tag).collect(),
        }
    }

    /// What the client shows at `now`, in seconds since 1970. Of several cookies the first valid
    /// one counts.
    pub(super) fn presented(&self, headers: &HeaderMap, now: u64) -> Presented {
        let values = headers.get_all(COOKIE).iter();
        let cookies = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(Cookie::split_parse)
            .flatten()
            .filter(|cookie| cookie.name() == self.config.name);
        let mut first = Presented::Nothing;
        for cookie in cookies {
            match (self.read(cookie.value(), now), first) {
                (valid @ Presented::Backend { .. }, _) => return valid,
                (other, Presented::Nothing) => first = other,
                _ => {}
            }
        }
        first
    }

    fn read(&self, value: &str, now: u64) -> Presented {
        let Some((expiry, tag)) = self.verified(value) else {
            return Presented::Forged;
        };
        if expiry <= now {
            return Presented::Nothing;
        }
        match self.tags.iter().position(|known| *known == tag) {
            Some(index) => Presented::Backend {
                index,
                renew: expiry - now < self.config.max_age.as_secs() / 2,
                key: ranking::hash(value.as_bytes()),
            },
            None => Presented::Gone,
        }
    }

    /// The expiry and the tag in a cookie that we have signed.
    fn verified(&self, value: &str) -> Option<(u64, Tag)> {
        let token = BASE64_URL_SAFE_NO_PAD.decode(value).ok()?;
        let (expiry, rest) = token.split_first_chunk::<EXPIRY_LEN>()?;
        let (tag, signature) = rest.split_first_chunk::<TAG_LEN>()?;
        let signature = blake3::Hash::from_slice(signature).ok()?;
        // Hashes are compared in constant time.
        let is_ours = self.sign(expiry, tag) == signature;
        is_ours.then_some((u64::from_be_bytes(*expiry), *tag))
    }

    /// The `Set-Cookie` that binds a client to the backend with that index.
    pub(super) fn issue(&self, index: usize, now: u64, over_tls: bool) -> HeaderValue {
        let config = &self.config;
        let mut cookie = Cookie::build((&config.name, self.token(index, now)))
            .path(&config.path)
            .max_age(max_age(config.max_age))
            .same_site(config.same_site)
            .secure(config.partitioned || config.secure.unwrap_or(over_tls))
            .partitioned(config.partitioned)
            .http_only(config.http_only)
            .build();
        if let Some(domain) = &config.domain {
            cookie.set_domain(domain);
        }
        HeaderValue::try_from(cookie.to_string()).expect("its parts were checked when configured")
    }

    fn token(&self, index: usize, now: u64) -> String {
        let expiry = (now + self.config.max_age.as_secs()).to_be_bytes();
        let tag = &self.tags[index];
        let mut token = Vec::with_capacity(TOKEN_LEN);
        token.extend(expiry);
        token.extend(tag);
        token.extend(self.sign(&expiry, tag).as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(token)
    }

    fn sign(&self, expiry: &[u8; EXPIRY_LEN], tag: &Tag) -> blake3::Hash {
        keyed_hash(
            &self.config,
            &[b"cookie", self.pool.as_bytes(), expiry, tag],
        )
    }
}

/// A hash of `parts` under the secret, each with its length so that none can pass for another.
fn keyed_hash(config: &CookieAffinity, parts: &[&[u8]]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_keyed(config.secret.key());
    for part in parts {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize()
}

fn max_age(duration: Duration) -> cookie::time::Duration {
    cookie::time::Duration::try_from(duration).unwrap_or(cookie::time::Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Backend, BackendAddress, Secret};

    const NOW: u64 = 1_800_000_000;
    const DAY: u64 = 86_400;

    fn jar(secret: &str, pool: &str, hosts: &[&str]) -> Jar {
        let backend = |host: &&str| {
            Backend::at(BackendAddress::Tcp {
                host: (*host).to_owned(),
                port: 9000,
            })
        };
        let backends: Vec<_> = hosts.iter().map(backend).collect();
        let config = CookieAffinity {
            name: "longwire".to_owned(),
            secret: Secret::configured(secret),
            max_age: Duration::from_secs(DAY),
            domain: None,
            path: "/".to_owned(),
            same_site: cookie::SameSite::Lax,
            secure: None,
            http_only: true,
            partitioned: false,
        };
        Jar::new(&config, pool, &backends)
    }

    /// What a browser sends back after `set_cookie`, beside another cookie.
    fn returned(set_cookie: &HeaderValue) -> HeaderMap {
        let pair = set_cookie.to_str().unwrap().split(';').next().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, format!("theme=dark; {pair}").parse().unwrap());
        headers
    }

    #[test]
    fn a_cookie_brings_its_client_back_even_to_another_proxy_with_the_secret() {
        let here = jar("a shared secret", "chat", &["a", "b", "c"]);
        let there = jar("a shared secret", "chat", &["c", "b", "a"]);
        let headers = returned(&here.issue(0, NOW, false));
        let (here, there) = (
            here.presented(&headers, NOW),
            there.presented(&headers, NOW),
        );
        assert!(matches!(here, Presented::Backend { index: 0, .. }));
        assert!(matches!(there, Presented::Backend { index: 2, .. }));
    }

    #[test]
    fn a_cookie_of_another_secret_or_pool_or_with_a_byte_changed_is_forged() {
        let ours = jar("a shared secret", "chat", &["a", "b"]);
        for other in [
            jar("another secret", "chat", &["a", "b"]),
            jar("a shared secret", "news", &["a", "b"]),
        ] {
            let headers = returned(&other.issue(0, NOW, false));
            assert_eq!(ours.presented(&headers, NOW), Presented::Forged);
        }
        let token = BASE64_URL_SAFE_NO_PAD.decode(ours.token(0, NOW)).unwrap();
        for index in 0..token.len() {
            let mut changed = token.clone();
            changed[index] ^= 1;
            let value = BASE64_URL_SAFE_NO_PAD.encode(changed);
            assert_eq!(ours.read(&value, NOW), Presented::Forged, "byte {index}");
        }
        assert_eq!(ours.read("", NOW), Presented::Forged);
        assert_eq!(ours.read("no base64!", NOW), Presented::Forged);
    }

    #[test]
    fn a_cookie_is_renewed_in_its_second_half_and_then_expires() {
        let jar = jar("a shared secret", "chat", &["a"]);
        let headers = returned(&jar.issue(0, NOW, false));
        let is_renewed = |now| match jar.presented(&headers, now) {
            Presented::Backend { renew, .. } => Some(renew),
            _ => None,
        };
        assert_eq!(is_renewed(NOW + DAY / 2), Some(false));
        assert_eq!(is_renewed(NOW + DAY / 2 + 1), Some(true));
        assert_eq!(is_renewed(NOW + DAY - 1), Some(true));
        assert_eq!(is_renewed(NOW + DAY), None);
    }

    #[test]
    fn a_cookie_for_a_backend_that_left_the_pool_is_no_forgery() {
        let before = jar("a shared secret", "chat", &["a", "b"]);
        let after = jar("a shared secret", "chat", &["b"]);
        let headers = returned(&before.issue(0, NOW, false));
        assert_eq!(after.presented(&headers, NOW), Presented::Gone);
    }

    #[test]
    fn a_forged_cookie_does_not_hide_a_valid_one() {
        let jar = jar("a shared secret", "chat", &["a", "b"]);
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, "longwire=forged".parse().unwrap());
        headers.append(COOKIE, returned(&jar.issue(1, NOW, false))[COOKIE].clone());
        let presented = jar.presented(&headers, NOW);
        assert!(matches!(presented, Presented::Backend { index: 1, .. }));
    }

    #[test]
    fn a_cookie_carries_its_attributes_and_is_secure_over_tls() {
        let jar = jar("a shared secret", "chat", &["a"]);
        let plain = jar.issue(0, NOW, false);
        let plain = plain.to_str().unwrap();
        for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=86400"] {
            assert!(plain.contains(attribute), "{attribute} in {plain}");
        }
        assert!(!plain.contains("Secure"));
        assert!(jar.issue(0, NOW, true).to_str().unwrap().contains("Secure"));
    }
}
