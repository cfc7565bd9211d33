//! `Via`: through which proxies a request has come (RFC 9110, section 7.6.3), and so whether through
//! this one already.

use http::{HeaderMap, HeaderValue, Version, header::VIA};

/// Our own element of `Via`.
///
/// Its name ends in a token that no client can guess and no other process has: so longwires of one
/// name may stand in a row, and nobody can have a request refused by naming us.
#[derive(Debug)]
pub(super) struct Via {
    token: String,
    http_11: HeaderValue,
    http_10: HeaderValue,
}

impl Via {
    /// The element of a proxy that is called `name`, which consists of the characters of a token.
    pub(super) fn new(name: &str, token: u64) -> Self {
        let token = format!("{token:016x}");
        let element = |version: &str| {
            let element = HeaderValue::from_str(&format!("{version} {name}-{token}"));
            element.unwrap_or_else(|_| HeaderValue::from_static("1.1 longwire"))
        };
        Self {
            http_11: element("1.1"),
            http_10: element("1.0"),
            token,
        }
    }

    /// Whether a request has come through this proxy before.
    pub(super) fn is_in(&self, headers: &HeaderMap) -> bool {
        let values = headers.get_all(VIA).into_iter();
        let mut elements = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        elements.any(|element| self.is_ours(element))
    }

    /// Adds the element to a request that came in that version of HTTP.
    pub(super) fn write(&self, headers: &mut HeaderMap, version: Version) {
        let element = match version {
            Version::HTTP_10 => &self.http_10,
            _ => &self.http_11,
        };
        headers.append(VIA, element.clone());
    }

    /// Whether it is an element whose proxy's name ends in our token.
    fn is_ours(&self, element: &[u8]) -> bool {
        let words = element.split(|byte| byte.is_ascii_whitespace());
        let mut words = words.filter(|word| !word.is_empty());
        let name = words.nth(1).unwrap_or_default();
        name.strip_suffix(self.token.as_bytes())
            .is_some_and(|rest| rest.ends_with(b"-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_passed(values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(VIA, value.parse().unwrap());
        }
        Via::new("edge", 42).is_in(&headers)
    }

    #[test]
    fn it_knows_its_own_element_wherever_it_stands() {
        for values in [
            &["1.1 edge-000000000000002a"][..],
            &["1.0 fred, 1.1 edge-000000000000002a (longwire), 1.1 p.example"],
            &["1.1 fred", "HTTP/1.1  edge-000000000000002a"],
            &["1.1 renamed-000000000000002a"],
        ] {
            assert!(has_passed(values), "{values:?}");
        }
    }

    #[test]
    fn another_of_the_same_name_is_not_this_one() {
        for values in [
            &[][..],
            &["1.1 edge"],
            &["1.1 edge-000000000000002b"],
            &["1.1 x000000000000002a"],
            &["1.1 fred (edge-000000000000002a)"],
            &["000000000000002a"],
        ] {
            assert!(!has_passed(values), "{values:?}");
        }
    }

    #[test]
    fn it_adds_to_what_stands_there() {
        let mut headers = HeaderMap::new();
        headers.insert(VIA, HeaderValue::from_static("1.0 fred"));
        Via::new("edge", 42).write(&mut headers, Version::HTTP_10);
        let values: Vec<_> = headers.get_all(VIA).iter().collect();
        assert_eq!(values, ["1.0 fred", "1.0 edge-000000000000002a"]);
    }
}
