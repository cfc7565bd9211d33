//! The scanner of frame boundaries.

use longwire::websocket::{
    Opcode,
    frame::{FrameHeader, apply_mask},
    scanner::{Scanner, Until, Verdict},
};

use crate::Input;

/// The payload of our own pings. The zeroes are what an input that is used up decides.
const TOKEN: [u8; 8] = [7, 0, 0, 0, 0, 0, 0, 0];

/// Holds that a scanner, whatever the chunks, releases every byte of a stream in its order but for
/// the pongs that carry our token, and knows whether it stands between two frames.
pub fn a_scanner_releases_all_but_our_pongs_at_any_pace(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let stream = stream(&mut input);
    let mut scanner = Scanner::default();
    let (mut read, mut released) = (0, Vec::new());
    // As many turns as there are bytes would do, if each took one.
    for turn in 0.. {
        assert!(turn <= 2 * stream.len() + 2, "it does not get on");
        let step = input.length().max(1).min(stream.len() - read);
        let until = match input.byte() % 2 {
            0 => Until::ChunkEnd,
            _ => Until::Boundary,
        };
        let mut chunk = scanner.release_held().to_vec();
        let held = chunk.len();
        chunk.extend_from_slice(&stream[read..read + step]);
        let scanned = scanner.scan(&mut chunk, until, judge);
        assert!(scanned.released <= scanned.rest && scanned.rest <= chunk.len());
        released.extend_from_slice(&chunk[..scanned.released]);
        read = (read + scanned.rest)
            .checked_sub(held)
            .expect("what was held back is not given back");
        let expected = expected(&stream[..read - scanner.held().len()]);
        assert_eq!(released, expected.bytes);
        assert_eq!(scanner.remaining(), expected.remaining);
        if read == stream.len() {
            return;
        }
    }
}

/// Frames, of which many are pongs with our token, and some are cut or are no frames.
fn stream(input: &mut Input<'_>) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..input.byte() % 16 {
        match input.byte() % 4 {
            0 => {
                let length = input.length();
                stream.extend_from_slice(input.take(length));
            }
            1 => {
                stream.extend([0x8a, 8]);
                stream.extend(TOKEN);
            }
            2 => {
                let key = [input.byte(), input.byte(), 0, 1];
                let mut payload = TOKEN;
                apply_mask(&mut payload, key);
                stream.extend([0x8a, 0x88]);
                stream.extend(key);
                stream.extend(payload);
            }
            _ => {
                let length = input.byte() % 126;
                stream.extend([input.byte(), length]);
                stream.resize(stream.len() + usize::from(length), 0x8a);
            }
        }
    }
    stream
}

fn judge(header: &FrameHeader, payload: &[u8]) -> Verdict {
    if header.opcode == Opcode::Pong && payload == TOKEN {
        Verdict::Take
    } else {
        Verdict::Pass
    }
}

/// What is to be released of a stream.
struct Expected {
    bytes: Vec<u8>,
    /// What its last frame still lacks.
    remaining: u64,
}

/// The same by the shortest way: frame after frame over all that has come.
fn expected(mut stream: &[u8]) -> Expected {
    let mut bytes = Vec::new();
    while let Some(header) = FrameHeader::parse(stream) {
        let whole = header.frame_len();
        let here = usize::try_from(whole).map_or(stream.len(), |whole| whole.min(stream.len()));
        let (frame, rest) = stream.split_at(here);
        let mut payload = frame[header.header_len.min(here)..].to_vec();
        if let Some(key) = header.mask {
            apply_mask(&mut payload, key);
        }
        let is_ours = header.opcode == Opcode::Pong && header.payload_len == 8 && payload == TOKEN;
        if !is_ours {
            bytes.extend_from_slice(frame);
        }
        let remaining = whole - here as u64;
        if remaining > 0 {
            return Expected { bytes, remaining };
        }
        stream = rest;
    }
    assert!(stream.is_empty(), "no header, and yet it was released");
    Expected {
        bytes,
        remaining: 0,
    }
}
