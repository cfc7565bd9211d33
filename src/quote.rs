//! What others make us say: words of a client, a backend or a library, cut and escaped before they
//! are shown in a log line, the journal, the API or a terminal.

use std::fmt::{self, Display, Write};

/// The bytes that are shown of a word: a header's value, a host, a name.
pub const WORD: usize = 64;

/// The bytes that are shown of a sentence: a library's error, which has others' words in it.
pub const SENTENCE: usize = 256;

/// The bytes that are shown of anything else, should it not have been cut before.
pub const PARAGRAPH: usize = 1024;

/// Displays others' text: at most so many bytes of it, and then `…`; control characters and those
/// that are not seen or change the direction of writing as `\n` or `\u{9b}`.
#[derive(Debug, Clone, Copy)]
pub struct Quoted<T> {
    text: T,
    most: usize,
}

impl<T: Display> Quoted<T> {
    /// Quotes a [`WORD`].
    pub fn word(text: T) -> Self {
        Self::within(text, WORD)
    }

    /// Quotes a [`SENTENCE`].
    pub fn sentence(text: T) -> Self {
        Self::within(text, SENTENCE)
    }

    /// Quotes that many bytes at most, the escapes among them.
    pub fn within(text: T, most: usize) -> Self {
        Self { text, most }
    }
}

impl<T: Display> Display for Quoted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut quotation = Quotation {
            page: f,
            left: self.most,
            is_full: false,
        };
        match write!(quotation, "{}", self.text) {
            // It has stopped the text, and nothing has failed.
            Err(_) if quotation.is_full => f.write_char('…'),
            written => written,
        }
    }
}

/// Takes a text until it is full.
struct Quotation<'p> {
    page: &'p mut dyn Write,
    left: usize,
    is_full: bool,
}

impl Write for Quotation<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            if is_shown(letter) {
                self.put(letter.len_utf8(), letter)?;
            } else {
                let escaped = escaped(letter);
                self.put(escaped.len(), escaped)?;
            }
        }
        Ok(())
    }
}

impl Quotation<'_> {
    fn put(&mut self, length: usize, shown: impl Display) -> fmt::Result {
        match self.left.checked_sub(length) {
            Some(left) => {
                self.left = left;
                write!(self.page, "{shown}")
            }
            None => {
                self.is_full = true;
                Err(fmt::Error)
            }
        }
    }
}

/// Returns `text` with its invisible characters escaped, however long it is: for what an operator has
/// asked to see.
#[must_use]
pub fn visible(text: &str) -> String {
    Quoted::within(text, usize::MAX).to_string()
}

/// Returns the same, with its line breaks as they are: for texts of our own over several lines.
#[must_use]
pub fn visible_lines(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(visible).collect();
    lines.join("\n")
}

/// Returns JSON with what is not seen escaped (RFC 8259, section 7), its white space excepted.
#[must_use]
pub fn visible_json(line: &str) -> String {
    let mut visible = String::with_capacity(line.len());
    for letter in line.chars() {
        if letter.is_ascii() || is_shown(letter) {
            visible.push(letter);
        } else {
            let mut units = [0; 2];
            for unit in letter.encode_utf16(&mut units) {
                // A String takes everything.
                let _ = write!(visible, "\\u{unit:04x}");
            }
        }
    }
    visible
}

/// Returns whether a letter is seen, stands where it was written, and does nothing else.
#[must_use]
pub fn is_shown(letter: char) -> bool {
    !letter.is_control() && !is_format(letter)
}

/// Whether a letter is one of those that are not seen and say how others are: directions (Unicode
/// Standard Annex 9), joiners, separators of lines, tags.
fn is_format(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

fn escaped(letter: char) -> String {
    match letter {
        '\n' | '\r' | '\t' => letter.escape_default().to_string(),
        _ => letter.escape_unicode().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_words_stay_as_they_are() {
        assert_eq!(
            Quoted::word("chat.example.com").to_string(),
            "chat.example.com"
        );
        assert_eq!(Quoted::word("/räume/日本語").to_string(), "/räume/日本語");
    }

    #[test]
    fn what_is_too_long_is_cut_between_two_letters() {
        assert_eq!(Quoted::within("abcdef", 6).to_string(), "abcdef");
        assert_eq!(Quoted::within("abcdefg", 6).to_string(), "abcdef…");
        assert_eq!(Quoted::within("日本語", 7).to_string(), "日本…");
        assert_eq!(
            Quoted::within("ab\u{9b}c", 5).to_string(),
            "ab…",
            "no half escape"
        );
    }

    #[test]
    fn what_could_move_a_terminal_or_disguise_a_line_is_escaped() {
        let hostile = "\u{1b}[2J\r\n\t\u{9b}31m\u{7f}\u{202e}\u{2066}\u{200f}\u{2028}";
        let shown = r"\u{1b}[2J\r\n\t\u{9b}31m\u{7f}\u{202e}\u{2066}\u{200f}\u{2028}";
        assert_eq!(visible(hostile), shown);
        assert_eq!(visible_lines("a\nb\u{9b}"), "a\nb\\u{9b}");
    }

    #[test]
    fn json_says_the_same_in_letters_that_are_seen() {
        let line = "{\"host\":\"ä\u{9b}\u{202e}\u{e0041}\"}\n";
        let visible = visible_json(line);
        assert_eq!(visible, "{\"host\":\"ä\\u009b\\u202e\\udb40\\udc41\"}\n");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&visible), read(line));
    }

    #[test]
    fn a_long_error_is_not_written_to_its_end() {
        struct Endless;
        impl Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("on and on, ")?;
                }
            }
        }
        let quoted = Quoted::sentence(Endless).to_string();
        assert_eq!(quoted.len(), SENTENCE + '…'.len_utf8());
    }

    proptest! {
        #[test]
        fn every_text_is_bounded_and_seen_as_a_whole(text in any::<String>(), most in 0_usize..100) {
            let quoted = Quoted::within(&text, most).to_string();
            prop_assert!(quoted.len() <= most + '…'.len_utf8());
            prop_assert!(quoted.chars().all(is_shown));
        }
    }
}
