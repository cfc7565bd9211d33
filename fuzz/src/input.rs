//! The fuzzer's input as decisions.

/// Bytes to be decided by. Once they are used up, every answer is zero.
pub struct Input<'b> {
    bytes: &'b [u8],
}

impl<'b> Input<'b> {
    /// Decisions by those bytes.
    pub fn new(bytes: &'b [u8]) -> Self {
        Self { bytes }
    }

    /// Whether everything has been decided.
    pub fn is_used_up(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// A length, most often a small one.
    pub fn length(&mut self) -> usize {
        let (scale, length) = (self.byte(), usize::from(self.byte()));
        length << (scale % 9)
    }

    /// As many of the next bytes as there are, up to `len`.
    pub fn take(&mut self, len: usize) -> &'b [u8] {
        let (taken, rest) = self.bytes.split_at(len.min(self.bytes.len()));
        self.bytes = rest;
        taken
    }

    /// A text of at most `pieces` pieces: most of them are among `words`, for whoever throws only
    /// random bytes never spells one; the others are single bytes.
    pub fn text(&mut self, words: &[&str], pieces: usize) -> Vec<u8> {
        let mut text = Vec::new();
        for _ in 0..pieces {
            if self.is_used_up() {
                break;
            }
            match words.get(usize::from(self.byte())) {
                Some(word) => text.extend_from_slice(word.as_bytes()),
                None => text.push(self.byte()),
            }
        }
        text
    }
}
