//! The configuration.

use std::path::Path;

use longwire::config::Config;

use crate::Input;

/// The whole reference, whose commented settings are taken too.
const REFERENCE: &str = include_str!("../../../proxy.toml");

const WORDS: [&str; 24] = [
    "\"",
    "'",
    "\"\"\"",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    ",",
    "\n",
    "#",
    ".",
    "-1",
    "1.5",
    "true",
    "\"off\"",
    "\"20s\"",
    "\"1day 1day\"",
    "99999999999999999999",
    "${NAME}",
    "${NAME:-",
    "\\u{7f}",
];

/// Holds that a text is read as a configuration, or that each fault that is found in it lies within
/// it, and can be shown, in colours too.
pub fn a_configuration_is_read_or_its_faults_are_named(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let text = text(&mut input);
    let Err(problems) = Config::parse(&text, "fuzzed.toml", Path::new("/nonexistent")) else {
        return;
    };
    let lines = text.split('\n').count();
    assert!(
        problems.iter().next().is_some(),
        "nothing is wrong, and yet it is refused"
    );
    for problem in problems.iter() {
        assert!(
            problem
                .line()
                .is_none_or(|line| (1..=lines).contains(&line))
        );
        assert!(problem.column().is_none_or(|column| column >= 1));
        assert!(!problem.message().is_empty());
    }
    assert!(!problems.to_string().is_empty());
    assert!(problems.coloured().len() >= problems.to_string().len());
}

/// Some lines of the reference, with something else in place of a part of some.
fn text(input: &mut Input<'_>) -> String {
    let reference: Vec<&str> = REFERENCE.lines().filter(|line| is_setting(line)).collect();
    let mut text = Vec::new();
    let mut at = 0;
    while !input.is_used_up() && text.len() < 4_000 {
        match input.byte() % 4 {
            0 => at = usize::from(input.byte()) % reference.len(),
            1 => text.extend(input.text(&WORDS, 6)),
            2 => {
                let line = reference[at % reference.len()].trim_start_matches('#');
                let (cut, end) = (input.length(), input.length());
                let line = line.as_bytes();
                text.extend_from_slice(&line[..cut.min(line.len())]);
                text.extend(input.text(&WORDS, 3));
                text.extend_from_slice(&line[end.min(line.len())..]);
                text.push(b'\n');
            }
            _ => {
                for _ in 0..=input.byte() % 32 {
                    let line = reference[at % reference.len()].trim_start_matches('#');
                    text.extend_from_slice(line.as_bytes());
                    text.push(b'\n');
                    at += 1;
                }
            }
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Whether a line is no comment, or a setting that is only commented out.
fn is_setting(line: &str) -> bool {
    !line.is_empty() && !line.starts_with("# ") && line != "#"
}
