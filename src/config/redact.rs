//! Blots secrets out of a text that will be shown.
//!
//! Any problem on the line of a secret would print it, and so would a misspelt key or a missing
//! quote, which a parsed table does not know as a secret. So this works on the text alone, and
//! rather blots out too much.

/// `text` with an asterisk for each byte of a secret, so that places stay what they are.
pub(super) fn redacted(text: &str) -> String {
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
    let elsewhere = ["secret_file", "secret_env", "token_file", "token_env"];
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
}
