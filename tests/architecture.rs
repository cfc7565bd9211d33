//! The house keeps its one rule: a module uses only what stands below it.

use std::{
    fs,
    path::{Path, PathBuf},
};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

#[test]
fn a_module_uses_only_modules_declared_below_it() {
    let floors = floors();
    assert!(floors.len() > 5, "{floors:?}");
    let mut uses = 0;
    for (height, floor) in floors.iter().enumerate() {
        for file in files_of(floor) {
            let text = fs::read_to_string(&file).unwrap();
            for used in modules_named_in(&text) {
                let Some(depth) = floors.iter().position(|floor| *floor == used) else {
                    continue;
                };
                uses += usize::from(depth > height);
                assert!(
                    depth >= height,
                    "{} uses crate::{used}, which stands above {floor}",
                    file.display()
                );
            }
        }
    }
    assert!(
        uses > 20,
        "only {uses} uses found: the search itself is broken"
    );
}

/// The modules in the order of `lib.rs`.
fn floors() -> Vec<String> {
    let text = fs::read_to_string(Path::new(SOURCE).join("lib.rs")).unwrap();
    let names = text
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod "));
    names
        .map(|name| name.trim_end_matches(';').to_owned())
        .collect()
}

/// `floor.rs`, or all files under `floor/`.
fn files_of(floor: &str) -> Vec<PathBuf> {
    let file = Path::new(SOURCE).join(floor).with_extension("rs");
    if file.exists() {
        return vec![file];
    }
    let mut files = Vec::new();
    let mut folders = vec![Path::new(SOURCE).join(floor)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// Every `x` of a `crate::x`, also of those in braces: `use crate::{x, y::{a, b}}`.
fn modules_named_in(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (start, _) in text.match_indices("crate::") {
        let rest = &text[start + "crate::".len()..];
        if rest.starts_with('{') {
            names.extend(first_names_in_braces(rest));
        } else {
            names.push(identifier(rest));
        }
    }
    names
}

/// The first segment of each path in the outermost braces that `text` begins with.
fn first_names_in_braces(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut depth = 0;
    let mut begins = false;
    for (index, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && (letter == '{' || letter == ',') {
            begins = true;
        } else if begins && !letter.is_whitespace() {
            begins = false;
            names.push(identifier(&text[index..]));
        }
    }
    names
}

fn identifier(text: &str) -> String {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    text.chars().take_while(|letter| is_part(*letter)).collect()
}

#[test]
fn uses_are_found_in_every_form() {
    let text = "use crate::{config::{self, A}, pool, tls::B};\nfn f() { crate::tunnel::g() }";
    let found = modules_named_in(text);
    assert_eq!(found, ["config", "pool", "tls", "tunnel"]);
}
