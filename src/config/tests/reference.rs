//! The annotated reference, `proxy.toml` at the top of the project.

use std::path::Path;

use toml::de::DeTable;

use super::{
    super::{Config, ConfigError, Source, reading::Reading, whole},
    Keys, bare, valid,
};

const REFERENCE: &str = include_str!("../../../proxy.toml");

/// The file with every line active that is a setting behind a `#`.
fn everything() -> String {
    let active = |line: &'static str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => rest,
        _ => line,
    };
    REFERENCE
        .lines()
        // The line that shows how such lines look.
        .filter(|line| *line != "#key = \"value\"")
        .map(active)
        .collect::<Vec<_>>()
        .join("\n")
}

fn keys_of(text: &str) -> Keys {
    let (root, errors) = DeTable::parse_recoverable(text);
    assert!(errors.is_empty(), "{errors:?}");
    let surroundings = bare(Path::new("nowhere"));
    let reading = Reading::new(text, root.get_ref(), &errors, &surroundings);
    let source = Source::now("test", text);
    let _ = reading.whole(|root| whole::config(root, source));
    reading.keys.take()
}

#[test]
fn it_loads_with_nothing_else_there() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("proxy.toml");
    let config = Config::load(&path).unwrap_or_else(|error: ConfigError| panic!("{error}"));
    assert_eq!(config.listeners.len(), 1);
}

#[test]
fn it_names_every_key_that_is_read_and_no_other() {
    let text = everything();
    let keys = keys_of(&text);
    let unnamed: Vec<_> = keys.asked.difference(&keys.found).collect();
    assert!(unnamed.is_empty(), "{unnamed:?}");
    assert!(keys.asked.contains("pool.NAME.tls.ca"), "{keys:?}");

    let problems = whole::read(&text, "test", &bare(Path::new("nowhere"))).unwrap_err();
    let unknown: Vec<_> = problems
        .iter()
        .filter(|problem| problem.message().contains("unknown key"))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn what_it_says_is_what_is_true_without_it() {
    let least = "
        [[listener]]
        address = \"127.0.0.1:8080\"
        [[route]]
        pool = \"chat\"
        [pool.chat]
        backends = [\"127.0.0.1:9001\", \"127.0.0.1:9002\"]
        affinity = \"cookie\"
    ";
    let shown = |text| format!("{:#?}", valid(text));
    assert_eq!(shown(REFERENCE), shown(least));
}

#[test]
fn a_key_that_it_leaves_out_would_be_missed() {
    let text = everything().replace("weight = 2, ", "");
    let keys = keys_of(&text);
    let unnamed: Vec<_> = keys.asked.difference(&keys.found).collect();
    assert_eq!(unnamed, ["pool.NAME.backends.weight"]);
}

#[test]
fn what_it_offers_lacks_only_the_files_and_the_choice_of_a_secret() {
    let problems = whole::read(&everything(), "test", &bare(Path::new("nowhere"))).unwrap_err();
    let elsewhere = [
        "cannot read nowhere/",
        "cannot read /run/secrets/",
        "is not set",
        "given twice",
    ];
    let wrong: Vec<_> = problems
        .iter()
        .map(super::super::Problem::message)
        .filter(|message| !elsewhere.iter().any(|part| message.contains(part)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
