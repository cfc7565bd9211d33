//! What a path means.

use longwire::path::{Meaning, meaning};

use crate::Input;

const WORDS: [&str; 26] = [
    "/", "//", ".", "..", "/./", "/../", "%2e", "%2E", "%2f", "%5c", "\\", "%61", "%252e", "%25",
    "%", "%zz", "%00", ";", ";a=b", "a", "admin", "x", "~", "%c0%ae", "é", " ",
];

/// Holds that a normal form is its own normal form, and that a server that decodes a path, passes
/// over empty segments and dots, and goes back at two of them, comes to nothing but one of the
/// readings.
pub fn a_path_means_what_servers_make_of_it(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let text = [b"/", &input.text(&WORDS, 40)[..]].concat();
    let path = String::from_utf8_lossy(&text).into_owned();
    let readings = match meaning(&path) {
        Meaning::Certain(normal) => {
            assert_eq!(meaning(&normal), Meaning::Certain(normal.clone()));
            vec![normal.into_owned()]
        }
        Meaning::Several(readings) => {
            assert!(readings.len() > 1, "{readings:?} is one");
            readings
        }
        Meaning::Unknown(_) => return,
    };
    let seen = decoded(path.as_bytes());
    let seen = segments(&seen);
    let is_it = |reading: &String| segments(&decoded(reading.as_bytes())) == seen;
    assert!(readings.iter().any(is_it), "{path:?}: {readings:?}");
}

/// The path, percent-decoded once.
fn decoded(mut path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    while let [first, rest @ ..] = path {
        let digits = rest.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        match byte {
            Some(byte) if *first == b'%' => {
                decoded.push(byte);
                path = &rest[2..];
            }
            _ => {
                decoded.push(*first);
                path = rest;
            }
        }
    }
    decoded
}

/// Where the path leads.
fn segments(path: &[u8]) -> Vec<&[u8]> {
    let mut segments = Vec::new();
    for segment in path.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    segments
}
