//! Blots secrets out of a text that will be shown.
//!
//! Any problem on the line of a secret would print it, and so would a misspelt key or a missing
//! quote, which a parsed table does not know as a secret. So what is called like one is looked for in
//! the text alone, and rather too much is blotted out than too little. What is secret by its place, all
//! below `headers`, or by what it says, such as the password in a URL, is found in what was parsed; of a
//! text that is not TOML everything behind `headers` goes.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// The table whose values are what one side proves itself with to the other, whatever their names.
const HEADERS: &str = "headers";

/// `text` with an asterisk for each byte of a secret, so that places stay what they are.
pub(super) fn redacted(text: &str) -> String {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut secrets = Vec::new();
    gather_from_table(root.get_ref(), false, text, &mut secrets);
    if !errors.is_empty() {
        gather_from_lines(text, &mut secrets);
    }
    let mut shown = by_name(text).into_bytes();
    for secret in secrets {
        let bytes = shown.get_mut(secret).into_iter().flatten();
        bytes
            .filter(|byte| !matches!(byte, b'\n' | b'\r'))
            .for_each(|byte| *byte = b'*');
    }
    // Whole characters are blotted out, or none of their bytes.
    String::from_utf8_lossy(&shown).into_owned()
}

/// Adds the places of what is secret in `table` by its place or by what it says.
fn gather_from_table(
    table: &DeTable<'_>,
    is_secret: bool,
    text: &str,
    secrets: &mut Vec<Range<usize>>,
) {
    for (key, value) in table {
        let is_secret = is_secret || &**key.get_ref() == HEADERS;
        gather(value, is_secret, text, secrets);
    }
}

fn gather(
    value: &Spanned<DeValue<'_>>,
    is_secret: bool,
    text: &str,
    secrets: &mut Vec<Range<usize>>,
) {
    match value.get_ref() {
        DeValue::Table(table) => gather_from_table(table, is_secret, text, secrets),
        DeValue::Array(array) => {
            for element in array.iter() {
                gather(element, is_secret, text, secrets);
            }
        }
        _ if is_secret => secrets.push(inside_quotes(value.span(), text)),
        DeValue::String(_) => secrets.extend(in_url(value.span(), text)),
        _ => {}
    }
}

/// Adds what stands behind `headers` where the text cannot be parsed: values of the lines below such
/// a header, and all of a line that has such a key.
fn gather_from_lines(text: &str, secrets: &mut Vec<Range<usize>>) {
    let mut is_below = false;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with('[') {
            is_below = line.contains(HEADERS);
        } else {
            let from = match (is_below, line.find(HEADERS)) {
                (true, _) => line.find('='),
                (false, at) => at.map(|at| at + HEADERS.len()),
            };
            // A value may go on in the lines below.
            let from = from.or(Some(0).filter(|_| is_below));
            secrets.extend(from.map(|from| start + from..start + line.len()));
            let opens = |at: usize| line[at..].contains('{') && !line[at..].contains('}');
            is_below |= line.find(HEADERS).is_some_and(opens);
        }
        start += line.len();
    }
}

/// The place of a value without the quotes around it.
fn inside_quotes(place: Range<usize>, text: &str) -> Range<usize> {
    let written = text.get(place.clone()).unwrap_or_default();
    let is_quote = ['"', '\''];
    let behind = written.trim_start_matches(is_quote);
    let start = place.end - behind.len();
    start..start + behind.trim_end_matches(is_quote).len()
}

/// The places of what a string that is a URL, or the target of one, tells in confidence: who asks,
/// before an `@`, and parameters that are called like secrets.
fn in_url(place: Range<usize>, text: &str) -> Vec<Range<usize>> {
    let inside = inside_quotes(place, text);
    let written = text.get(inside.clone()).unwrap_or_default();
    let mut secrets = Vec::new();
    if let Some(scheme) = written.find("://") {
        let authority = scheme + "://".len();
        let rest = &written[authority..];
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        secrets.extend(rest[..end].rfind('@').map(|at| authority..authority + at));
    }
    let mut start = written.find('?').map_or(written.len(), |at| at + 1);
    for parameter in written[start..].split('&') {
        if let Some((name, _)) = parameter.split_once('=')
            && (is_secretive(name) || SECRETIVE_PARAMETERS.contains(&&*name.to_lowercase()))
        {
            secrets.push(start + name.len() + 1..start + parameter.len());
        }
        start += parameter.len() + 1;
    }
    let placed = secrets.into_iter();
    placed
        .map(|secret| inside.start + secret.start..inside.start + secret.end)
        .collect()
}

/// `text` without the values of keys that are called like secrets.
fn by_name(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(equals) = rest.find('=') {
        let (before, after) = rest.split_at(equals + 1);
        shown.push_str(before);
        rest = after;
        if names_a_secret(&before[..equals]) {
            rest = blot_value(after, &mut shown);
        }
    }
    shown.push_str(rest);
    shown
}

/// What a key is called that holds what only two sides should know. Headers are keys too.
const SECRETIVE: [&str; 6] = [
    "secret",
    "token",
    "password",
    "authorization",
    "cookie",
    "api-key",
];

/// What parameters of a URL are called beside that.
const SECRETIVE_PARAMETERS: [&str; 6] = ["auth", "key", "pass", "pwd", "sig", "signature"];

/// Whether a key, or a variable, is called like what only two sides should know.
pub(super) fn is_secretive(name: &str) -> bool {
    let name = name.to_lowercase().replace('_', "-");
    SECRETIVE.iter().any(|secretive| name.contains(secretive))
}

/// Whether the key that ends `before` is a secret's, or was meant to be.
fn names_a_secret(before: &str) -> bool {
    let before = before.trim_end_matches([' ', '\t', '"', '\'']);
    let start = before.rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'));
    let key = before[start.map_or(0, |at| {
        at + before[at..].chars().next().map_or(1, char::len_utf8)
    })..]
        .to_lowercase();
    // These say where a secret is, and the last only looks like a misspelt one.
    let elsewhere = [
        "secret_file",
        "secret_env",
        "token_file",
        "token_env",
        "secure",
    ];
    !elsewhere.contains(&&*key)
        && (is_secretive(&key) || strsim::jaro_winkler(&key, "secret") > 0.85)
}

/// Writes the value at the start of `text` to `shown`, blotted out, and returns what follows it.
fn blot_value<'a>(text: &'a str, shown: &mut String) -> &'a str {
    let value = text.trim_start_matches([' ', '\t']);
    shown.push_str(&text[..text.len() - value.len()]);
    let delimiter = ["\"\"\"", "'''", "\"", "'"]
        .into_iter()
        .find(|quote| value.starts_with(quote))
        .unwrap_or("");
    let inner = &value[delimiter.len()..];
    let (secret, rest) = inner.split_at(end_of_secret(inner, delimiter));
    shown.push_str(delimiter);
    for c in secret.chars() {
        match c {
            '\n' | '\r' => shown.push(c),
            _ => shown.extend(std::iter::repeat_n('*', c.len_utf8())),
        }
    }
    rest
}

/// Where the string that `delimiter` opened ends; a bare one, or one left open, ends with its line.
fn end_of_secret(inner: &str, delimiter: &str) -> usize {
    let end_of_line = inner.find(['\n', '\r']).unwrap_or(inner.len());
    match delimiter {
        "" => end_of_line,
        "\"\"\"" | "'''" => inner.find(delimiter).unwrap_or(inner.len()),
        quote => closing_quote(&inner[..end_of_line], quote).unwrap_or(end_of_line),
    }
}

fn closing_quote(line: &str, quote: &str) -> Option<usize> {
    let mut escaped = false;
    line.char_indices().find_map(|(at, c)| {
        let closes = !escaped && quote.starts_with(c);
        escaped = !escaped && c == '\\' && quote == "\"";
        closes.then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_is_blotted_out() {
        let line = "affinity = { by = \"cookie\", secret = \"hush\", name = \"id\" }\n";
        assert_eq!(redacted(line), line.replace("hush", "****"));
    }

    #[test]
    fn no_way_of_writing_it_shows_the_secret() {
        for text in [
            "secret = 'hush'",
            "secret = \"hush",
            "secret = hush # bare",
            "\"secret\" = \"hush\"",
            "'secret'=\"\\\"hush\\\"hush\"",
            "secret = \"\"\"\nhush\nhush\"\"\"",
            "secret = '''hush\nhush",
            "sekret = \"hush\"",
            "scret = \"hush\"",
            "Secret = \"hush\"",
            "affinity.secret = [\"hush\"]",
            "é.secret = \"hush\"",
            "x_api_key = \"hush\"",
        ] {
            let shown = redacted(text);
            assert!(!shown.contains("hush"), "{text} became {shown}");
            assert_eq!(shown.len(), text.len());
        }
    }

    #[test]
    fn where_a_secret_lies_is_no_secret() {
        for text in [
            "secret_file = \"a/b\"",
            "secret_env = \"NAME\"",
            "server = 1",
        ] {
            assert_eq!(redacted(text), text);
        }
    }

    #[test]
    fn everything_below_headers_is_secret_whatever_it_is_called() {
        for text in [
            "[pool.a.health]\nheaders = { x-who = \"hush\", b = 'hush' }",
            "[pool.a.health.headers]\nx-who = \"hush\"\n[pool.b]\nname = \"shown\"",
            "pool.a.health.headers.x-who = \"\"\"\nhush\nhush\"\"\"",
            "[a.headers]\nset = { x = [\"hush\"] }",
            // None of these is TOML.
            "[a.headers]\nx-who = \"hush\nb = 'hush'",
            "headers = { x-who = \"hush\"",
            "[a\nheaders.x = hush",
        ] {
            let shown = redacted(text);
            assert!(!shown.contains("hush"), "{text} became {shown}");
            assert_eq!(shown.len(), text.len());
        }
        let text = "headers = { x-who = \"hush\" }\nname = \"shown\"";
        assert_eq!(redacted(text), text.replace("hush", "****"));
    }

    #[test]
    fn what_a_url_tells_in_confidence_is_blotted_out() {
        for (text, secret) in [
            ("a = \"https://me:hush@host:1/x?y=1\"", "me:hush"),
            ("a = [\"redis://hush@host\"]", "hush"),
            ("a = \"/health?full=1&sig=hush&x=2\"", "hush"),
            ("a = '/health?key=hush'", "hush"),
        ] {
            let shown = text.replace(secret, &"*".repeat(secret.len()));
            assert_eq!(redacted(text), shown);
        }
        for text in ["a = \"https://host:1/@x\"", "a = \"/x?page=1\""] {
            assert_eq!(redacted(text), text);
        }
    }

    #[test]
    fn an_attribute_of_a_cookie_is_no_secret() {
        let text = "affinity = { by = \"cookie\", secure = true, path = \"/\" }";
        assert_eq!(redacted(text), text);
    }
}
