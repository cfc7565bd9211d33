//! What is said in a conversation: numbered messages, of which none may be missing.

use bytes::Bytes;

/// A message. Its length and what fills it follow from its number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Word {
    /// Each side numbers what it says from 1 on.
    pub number: u64,
    /// The other side's message that this one answers; 0 is none.
    pub answers: u64,
}

/// Once in a while one is so long that proxies may move it in other ways.
const LONG: usize = 70_000;
const ONE_IN: u64 = 64;
const HEAD: usize = 16;

impl Word {
    pub fn payload(self) -> Vec<u8> {
        let mut payload = vec![self.filler(); self.len()];
        payload[..8].copy_from_slice(&self.number.to_be_bytes());
        payload[8..HEAD].copy_from_slice(&self.answers.to_be_bytes());
        payload
    }

    /// `None` if it is not what anybody says.
    pub fn parse(payload: &Bytes) -> Option<Self> {
        let (number, rest) = payload.split_first_chunk()?;
        let (answers, filling) = rest.split_first_chunk()?;
        let word = Self {
            number: u64::from_be_bytes(*number),
            answers: u64::from_be_bytes(*answers),
        };
        let is_whole = payload.len() == word.len();
        (is_whole && filling.iter().all(|byte| *byte == word.filler())).then_some(word)
    }

    fn len(self) -> usize {
        match self.number {
            number if number.is_multiple_of(ONE_IN) => LONG,
            number => HEAD + (number * 397 % 1_009) as usize,
        }
    }

    fn filler(self) -> u8 {
        let head = (self.number ^ self.answers).to_be_bytes();
        head.iter().fold(0, |filler, byte| filler ^ byte)
    }
}

/// Numbers that ought to come one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sequence {
    pub last: u64,
    /// Those that were left out.
    pub lost: u64,
    /// Those that came when they, or later ones, had come before.
    pub repeated: u64,
}

impl Sequence {
    pub fn hear(&mut self, number: u64) {
        match number.checked_sub(self.last) {
            Some(step @ 1..) => {
                self.lost += step - 1;
                self.last = number;
            }
            _ => self.repeated += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_read_as_it_was_said() {
        for number in [1, 2, 63, 64, 65, 1_000_000] {
            let word = Word {
                number,
                answers: number / 2,
            };

            assert_eq!(Word::parse(&word.payload().into()), Some(word));
        }
    }

    #[test]
    fn a_word_with_a_strange_byte_is_none() {
        let word = Word {
            number: 3,
            answers: 0,
        };
        for place in 0..word.payload().len() {
            let mut payload = word.payload();
            payload[place] ^= 1;

            assert_eq!(Word::parse(&payload.into()), None, "byte {place}");
        }
    }

    #[test]
    fn what_is_left_out_or_comes_again_is_counted() {
        let mut sequence = Sequence::default();
        for number in [1, 2, 5, 5, 4, 6] {
            sequence.hear(number);
        }

        let expected = Sequence {
            last: 6,
            lost: 2,
            repeated: 2,
        };
        assert_eq!(sequence, expected);
    }
}
