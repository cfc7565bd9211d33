use percent_encoding::percent_decode_str;
use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

fn certain(path: &str) -> String {
    match meaning(path) {
        Meaning::Certain(normal) => normal.into_owned(),
        other => panic!("{path} is {other:?}"),
    }
}

fn several(path: &str) -> Vec<String> {
    match meaning(path) {
        Meaning::Several(readings) => readings,
        other => panic!("{path} is {other:?}"),
    }
}

fn unknown(path: &str) -> Unknown {
    match meaning(path) {
        Meaning::Unknown(unknown) => unknown,
        other => panic!("{path} is {other:?}"),
    }
}

#[test]
fn what_is_normal_stays_and_is_not_copied() {
    for path in [
        "/",
        "/admin",
        "/admin/",
        "/a.b/c..d/e...",
        "/~me/a-b_c/!$&'()*+,=:@",
        "*",
        "",
    ] {
        assert_eq!(meaning(path), Meaning::Certain(Cow::Borrowed(path)));
        assert!(matches!(meaning(path), Meaning::Certain(Cow::Borrowed(_))));
    }
}

#[test]
fn every_spelling_of_a_path_has_one_meaning() {
    for path in [
        "//admin",
        "///admin",
        "/%61dmin",
        "/%61%64%6D%69%6e",
        "/./admin",
        "/%2e/admin",
        "/x/../admin",
        "/x/%2e%2E/admin",
        "/x/.%2e/admin",
        "/x/y/../../admin",
        "/x/./y/../../admin/../admin",
    ] {
        assert_eq!(certain(path), "/admin", "{path}");
    }
}

#[test]
fn a_path_that_ends_in_dots_ends_in_a_slash() {
    assert_eq!(certain("/admin/."), "/admin/");
    assert_eq!(certain("/admin/x/.."), "/admin/");
    assert_eq!(certain("/admin//"), "/admin/");
    assert_eq!(certain("/admin/.."), "/");
    assert_eq!(certain("/."), "/");
    assert_eq!(certain("//"), "/");
    assert_eq!(certain("/.well-known/a"), "/.well-known/a");
    assert_eq!(certain("/..."), "/...");
    assert_eq!(certain("/..a"), "/..a");
}

#[test]
fn what_cannot_stand_as_it_is_has_one_encoding() {
    assert_eq!(certain("/caf%c3%a9"), "/caf%C3%A9");
    assert_eq!(certain("/café"), "/caf%C3%A9");
    assert_eq!(certain("/a%20b%3fc%23d%22"), "/a%20b%3Fc%23d%22");
    assert_eq!(certain("/a\"b"), "/a%22b");
    assert_eq!(certain("/%28a%29%2Cb%21"), "/(a),b!");
    assert_eq!(certain("/100%25"), "/100%25");
    assert_eq!(certain("/100%25%20"), "/100%25%20");
    assert_eq!(certain("/%E9"), "/%E9");
}

#[test]
fn what_some_take_for_a_separator_has_two_readings() {
    assert_eq!(several("/x%2fadmin"), ["/x%2Fadmin", "/x/admin"]);
    assert_eq!(several("/x%5cadmin"), ["/x%5Cadmin", "/x/admin"]);
    assert_eq!(several("/x\\admin"), ["/x%5Cadmin", "/x/admin"]);
    assert_eq!(several("/%2fadmin"), ["/%2Fadmin", "/admin"]);
    assert_eq!(several("/x%2f..%2fadmin"), ["/x%2F..%2Fadmin", "/admin"]);
    assert_eq!(several("/y/x%2f../z"), ["/y/x%2F../z", "/y/z"]);
    assert_eq!(several("/x/..\\admin"), ["/x/..%5Cadmin", "/admin"]);
}

#[test]
fn what_some_take_for_parameters_has_two_readings() {
    assert_eq!(several("/admin;v=1"), ["/admin;v=1", "/admin"]);
    assert_eq!(several("/admin%3bv=1/x"), ["/admin;v=1/x", "/admin/x"]);
    assert_eq!(several("/x/..;/admin"), ["/x/..;/admin", "/admin"]);
    assert_eq!(several("/x/.;a/admin"), ["/x/.;a/admin", "/x/admin"]);
    assert_eq!(several("/;a/admin"), ["/;a/admin", "/admin"]);
}

#[test]
fn what_is_encoded_twice_has_two_readings() {
    assert_eq!(several("/%2561dmin"), ["/%2561dmin", "/admin"]);
    assert_eq!(
        several("/x/%252e%252e/admin"),
        ["/x/%252e%252e/admin", "/admin"]
    );
    assert_eq!(
        several("/x%252fadmin"),
        ["/x%252fadmin", "/x%2Fadmin", "/x/admin"]
    );
    assert_eq!(several("/%25%36%31dmin"), ["/%2561dmin", "/admin"]);
}

#[test]
fn dots_behind_an_empty_segment_have_two_readings() {
    assert_eq!(several("/a//../admin"), ["/admin", "/a/admin"]);
}

#[test]
fn some_paths_mean_nothing_for_certain() {
    for path in [
        "/..",
        "/../admin",
        "/%2e%2e/admin",
        "/a/../..",
        "/a/../../b",
    ] {
        assert_eq!(unknown(path), Unknown::AboveRoot, "{path}");
    }
    // Some would go above the root, though not all.
    for path in ["/..%2fadmin", "/..;/admin", "/..\\admin", "//../admin"] {
        assert_eq!(unknown(path), Unknown::AboveRoot, "{path}");
    }
    for path in ["/%", "/%6", "/%zz", "/a%u002fb", "/%-1", "/%+1"] {
        assert_eq!(unknown(path), Unknown::Triplet, "{path}");
    }
    for path in [
        "/admin%00",
        "/%0a",
        "/a%1F",
        "/%7f",
        "/admin%2500",
        "/a\u{7f}",
    ] {
        assert_eq!(unknown(path), Unknown::Control, "{path}");
    }
    for path in ["/%c0%ae", "/%c0%af", "/%e0%80%af", "/%f0%80%80%af"] {
        assert_eq!(unknown(path), Unknown::Overlong, "{path}");
    }
    for path in ["/%252561dmin", "/%25252e", "/%25252525252525"] {
        assert_eq!(unknown(path), Unknown::Depth, "{path}");
    }
}

#[test]
fn more_than_one_doubt_is_too_many() {
    for path in ["/a%2fb;c", "/a\\b%5Cc", "/a;b%3bc", "/a//../b;c", "/%252f;"] {
        assert_eq!(unknown(path), Unknown::Doubts, "{path}");
    }
}

/// A server, told in another way than by the readers: step by step, over the whole path.
struct Server {
    decodes: usize,
    strips_parameters: bool,
    knows_backslashes: bool,
    /// Whether it looks for these two before it decodes, and not again.
    looks_first: bool,
    splits_first: bool,
    merges_slashes: bool,
}

/// A slash that separates nothing; no path has this byte.
const NO_SEPARATOR: u8 = 0xff;

impl Server {
    fn all() -> impl Iterator<Item = Self> {
        (0..64).map(|bits| {
            let bit = |at: u32| bits >> at & 1 == 1;
            Self {
                decodes: 1 + usize::from(bit(0)),
                strips_parameters: bit(1),
                knows_backslashes: bit(2),
                looks_first: bit(3),
                splits_first: bit(4),
                merges_slashes: bit(5),
            }
        })
    }

    /// The segments that it sees, decoded, and whether a slash ends the path; `None` above the root.
    fn sees(&self, path: &str) -> Option<(Vec<Vec<u8>>, bool)> {
        let mut path = path.as_bytes().to_vec();
        if self.looks_first {
            path = self.without_oddities(&path);
        }
        for _ in 0..self.decodes {
            path = self.decoded(&path);
        }
        if !self.looks_first {
            path = self.without_oddities(&path);
        }
        let mut segments: Vec<Vec<u8>> = path[1..].split(|b| *b == b'/').map(Vec::from).collect();
        let ends_open = matches!(segments.last().unwrap().as_slice(), b"" | b"." | b"..");
        if self.merges_slashes {
            segments.retain(|segment| !segment.is_empty());
        }
        let mut seen: Vec<Vec<u8>> = Vec::new();
        for segment in segments {
            match segment.as_slice() {
                b"." => {}
                b".." => drop(seen.pop()?),
                _ => seen.push(segment),
            }
        }
        seen.retain(|segment| !segment.is_empty());
        let ends_open = ends_open || seen.is_empty();
        Some((seen, ends_open))
    }

    fn without_oddities(&self, path: &[u8]) -> Vec<u8> {
        let slash = |byte: &u8| match byte {
            b'\\' if self.knows_backslashes => b'/',
            byte => *byte,
        };
        let path: Vec<u8> = path.iter().map(slash).collect();
        if !self.strips_parameters {
            return path;
        }
        let segments = path.split(|byte| *byte == b'/');
        let names: Vec<_> = segments
            .map(|segment| segment.split(|byte| *byte == b';').next().unwrap())
            .collect();
        names.join(&b'/')
    }

    fn decoded(&self, path: &[u8]) -> Vec<u8> {
        let decoded = decoded(path).into_iter();
        decoded
            .map(|(byte, was_encoded)| match byte {
                b'/' if was_encoded && self.splits_first => NO_SEPARATOR,
                byte => byte,
            })
            .collect()
    }
}

/// The bytes of a path, and which of them were encoded.
fn decoded(path: &[u8]) -> Vec<(u8, bool)> {
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < path.len() {
        let digits = path.get(at + 1..at + 3).filter(|_| path[at] == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        if let Some(digits) = digits {
            bytes.push((u8::from_str_radix(digits, 16).unwrap(), true));
            at += 3;
        } else {
            bytes.push((path[at], false));
            at += 1;
        }
    }
    bytes
}

/// A reading as a server would see it.
fn seen_in(reading: &str) -> (Vec<Vec<u8>>, bool) {
    let segments = reading.split('/').filter(|segment| !segment.is_empty());
    let segments = segments.map(|segment| {
        let bytes = percent_decode_str(segment).collect::<Vec<u8>>();
        let is_slash = |byte: u8| if byte == b'/' { NO_SEPARATOR } else { byte };
        bytes.into_iter().map(is_slash).collect()
    });
    (segments.collect(), reading.ends_with('/'))
}

fn readings_of(path: &str) -> Option<Vec<String>> {
    match meaning(path) {
        Meaning::Certain(normal) => Some(vec![normal.into_owned()]),
        Meaning::Several(readings) => Some(readings),
        Meaning::Unknown(_) => None,
    }
}

fn paths() -> impl Strategy<Value = String> {
    const PARTS: &[&str] = &[
        "/",
        "/",
        "/",
        ".",
        "..",
        "%2e",
        "%2E.",
        "%2f",
        "%5C",
        "\\",
        ";",
        "%3b",
        "a",
        "admin",
        "%61",
        "%25",
        "%252e",
        "%252f",
        "%25%32%65",
        "%",
        "2e",
        "é",
        "%C3%A9",
        "%20",
        "!",
        "%21",
        "//",
        "/../",
    ];
    vec(select(PARTS), 0..12).prop_map(|parts| format!("/{}", parts.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_matched_is_what_any_server_sees(path in paths()) {
        let Some(readings) = readings_of(&path) else { return Ok(()) };
        for server in Server::all() {
            let seen = server.sees(&path);
            let is_foreseen = seen.as_ref().is_some_and(|seen| {
                readings.iter().any(|reading| seen_in(reading) == *seen)
            });
            prop_assert!(is_foreseen, "{path}: {seen:?} is not among {readings:?}");
        }
    }

    #[test]
    fn a_normal_form_is_its_own_and_says_so(path in paths()) {
        for reading in readings_of(&path).unwrap_or_default() {
            let again = readings_of(&reading);
            let keeps_itself = again.is_none_or(|again| again.contains(&reading));
            prop_assert!(keeps_itself, "{path}: {reading} is none of its own");
            prop_assert!(!reading.contains("//") && reading.starts_with('/'));
            let mut segments = reading.split('/');
            prop_assert!(segments.all(|segment| segment != "." && segment != ".."));
        }
        if let Meaning::Certain(normal) = meaning(&path) {
            prop_assert_eq!(certain(&normal), normal);
        }
    }

    #[test]
    fn any_text_has_a_meaning(path in ".*") {
        let _ = meaning(&path);
        let _ = meaning(&format!("/{path}"));
    }
}
