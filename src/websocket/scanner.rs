//! Follows frame boundaries through any chunks, keeping no payload.

use arrayvec::ArrayVec;

use super::{
    Opcode,
    frame::{FrameHeader, MAX_HEADER_LEN, apply_mask},
};

/// The payload of a ping of ours, which its pong brings back.
pub type Token = [u8; 8];

/// How much of a control frame's payload is looked at: the code of a Close, the token of a pong.
const PEEK: usize = size_of::<Token>();

/// The most that is held back: all but one byte of a header and a peeked payload.
const MAX_HELD: usize = MAX_HEADER_LEN + PEEK - 1;

/// Bytes held back until enough follows to judge them.
pub type Held = ArrayVec<u8, MAX_HELD>;

/// A position in a stream of frames.
///
/// It is total: any bytes are some sequence of frames, and every byte is released in its order
/// unless the caller takes the frame out. A header is released only when it is whole, so what was
/// released ends either between two frames or inside a payload.
#[derive(Debug, Default)]
pub struct Scanner {
    /// Bytes of the frame begun that are still to be released, its header included.
    remaining: u64,
    /// The beginning of the next frame, too little of it to be judged.
    held: Held,
}

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is released.
    Pass,
    /// It is taken out of the stream. Only a frame whose payload was wholly shown can be.
    Take,
}

/// Where a scan goes on to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The end of the chunk.
    ChunkEnd,
    /// The first boundary between two frames, or the chunk's end.
    Boundary,
}

/// What a scan did with a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scanned {
    /// Bytes at the chunk's start that are released.
    pub released: usize,
    /// Where the part of the chunk begins that was not scanned; its length if all was.
    pub rest: usize,
}

impl Scanner {
    /// A scanner that goes on where another one stood.
    #[must_use]
    pub fn resume(remaining: u64, held: Held) -> Self {
        Self { remaining, held }
    }

    /// Whether what was released so far ends inside a frame.
    #[must_use]
    pub fn is_inside_frame(&self) -> bool {
        self.remaining > 0
    }

    /// Bytes of the frame begun that are still to come.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Begins a frame whose header was seen elsewhere: all of it is still to come, and is to be
    /// [skipped](Self::skip) or scanned. To be called between two frames only.
    pub fn begin(&mut self, header: &FrameHeader) {
        debug_assert!(!self.is_inside_frame() && self.held.is_empty());
        self.remaining = header.frame_len();
    }

    /// Bytes of the frame begun pass that nobody looks at, at most what [remains](Self::remaining).
    pub fn skip(&mut self, bytes: u64) {
        self.remaining = self.remaining.saturating_sub(bytes);
    }

    /// What is held back, which belongs in front of the next chunk.
    #[must_use]
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    /// Gives up what is held back: it stands in front of the chunk that is scanned next, or, at the
    /// end of the stream, is released as it is.
    pub fn release_held(&mut self) -> Held {
        std::mem::take(&mut self.held)
    }

    /// Follows the frames in `chunk`, which begins with what was [held back](Self::release_held).
    ///
    /// `judge` sees each frame once, with the unmasked start of its payload if it is a Close (its
    /// code) or a pong as long as a token. Released bytes are moved to the start of `chunk`, over
    /// the frames taken out.
    pub fn scan(
        &mut self,
        chunk: &mut [u8],
        until: Until,
        mut judge: impl FnMut(&FrameHeader, &[u8]) -> Verdict,
    ) -> Scanned {
        let (mut read, mut released) = (0, 0);
        while read < chunk.len() {
            if self.is_inside_frame() {
                let passing = self.pass(chunk.len() - read);
                if released != read {
                    chunk.copy_within(read..read + passing, released);
                }
                read += passing;
                released += passing;
                if until == Until::Boundary && !self.is_inside_frame() {
                    break;
                }
                continue;
            }
            let Some((header, payload)) = peek(&chunk[read..]) else {
                self.held.extend(chunk[read..].iter().copied());
                read = chunk.len();
                break;
            };
            match judge(&header, &payload) {
                Verdict::Pass => self.remaining = header.frame_len(),
                Verdict::Take => {
                    debug_assert_eq!(header.payload_len, payload.len() as u64);
                    read += header.header_len + payload.len();
                }
            }
        }
        Scanned {
            released,
            rest: read,
        }
    }

    /// Lets up to `available` bytes of the frame begun pass, and says how many.
    fn pass(&mut self, available: usize) -> usize {
        let passing = usize::try_from(self.remaining).map_or(available, |r| r.min(available));
        self.remaining -= passing as u64;
        passing
    }
}

/// The header at the start of `bytes`, with the part of the payload that is looked at, unmasked;
/// `None` while some of these is still to come.
fn peek(bytes: &[u8]) -> Option<(FrameHeader, ArrayVec<u8, PEEK>)> {
    let header = FrameHeader::parse(bytes)?;
    let wanted = match (header.opcode, header.payload_len) {
        (Opcode::Close, 2..) => 2,
        (Opcode::Pong, length) if length == PEEK as u64 => PEEK,
        _ => 0,
    };
    let payload = bytes.get(header.header_len..header.header_len + wanted)?;
    let mut payload: ArrayVec<u8, PEEK> = payload.iter().copied().collect();
    if let Some(key) = header.mask {
        apply_mask(&mut payload, key);
    }
    Some((header, payload))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::websocket::{CloseCode, Role, frame};

    const TOKEN: Token = *b"ourtoken";

    /// Runs `chunks` through a scanner that takes pongs with our token.
    fn released(chunks: &[&[u8]]) -> Vec<u8> {
        let mut scanner = Scanner::default();
        let mut out = Vec::new();
        for chunk in chunks {
            let mut bytes = scanner.release_held().to_vec();
            bytes.extend_from_slice(chunk);
            let scanned = scanner.scan(&mut bytes, Until::ChunkEnd, takes_our_pong);
            assert_eq!(scanned.rest, bytes.len());
            out.extend_from_slice(&bytes[..scanned.released]);
        }
        out.extend(scanner.release_held());
        out
    }

    fn takes_our_pong(header: &FrameHeader, payload: &[u8]) -> Verdict {
        if header.opcode == Opcode::Pong && payload == TOKEN {
            Verdict::Take
        } else {
            Verdict::Pass
        }
    }

    #[test]
    fn our_pong_is_taken_out_at_every_split_and_nothing_else_is() {
        let before = b"\x01\x03Hel";
        let after = b"\x80\x02lo\x8a\x08notours!\x8a\x00";
        for role in [Role::Client, Role::Server] {
            let stream = [&before[..], &frame::pong(&TOKEN, role), after].concat();
            let expected = [&before[..], after].concat();
            for split in 0..=stream.len() {
                let (one, two) = stream.split_at(split);
                assert_eq!(
                    released(&[one, two]),
                    expected,
                    "{role:?}, split at {split}"
                );
            }
            let bytes: Vec<&[u8]> = stream.chunks(1).collect();
            assert_eq!(released(&bytes), expected, "{role:?}, byte by byte");
        }
    }

    #[test]
    fn the_code_of_a_close_is_seen_at_every_split() {
        let stream = frame::close(CloseCode(4321), "because", Role::Client);
        for split in 0..=stream.len() {
            let mut scanner = Scanner::default();
            let mut code = None;
            for chunk in [&stream[..split], &stream[split..]] {
                let mut bytes = [&scanner.release_held(), chunk].concat();
                scanner.scan(&mut bytes, Until::ChunkEnd, |_, payload| {
                    code = payload.try_into().ok().map(u16::from_be_bytes);
                    Verdict::Pass
                });
            }
            assert_eq!(code, Some(4321), "split at {split}");
        }
    }

    #[test]
    fn a_scan_until_a_boundary_stops_after_the_first_frame_that_ends() {
        let mut scanner = Scanner::default();
        let mut chunk = *b"\x82\x01a\x82\x01b";
        let first = scanner.scan(&mut chunk, Until::Boundary, takes_our_pong);
        assert_eq!((first.released, first.rest), (3, 3));
        assert!(!scanner.is_inside_frame());
    }

    #[test]
    fn a_frame_of_the_greatest_length_is_followed_without_overflow() {
        let mut scanner = Scanner::default();
        let mut header = [0xff; MAX_HEADER_LEN];
        scanner.scan(&mut header, Until::ChunkEnd, takes_our_pong);
        assert!(scanner.is_inside_frame());
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_chunks_come_out_the_same(
            chunks in vec(vec(prop_oneof![any::<u8>(), 0u8..3, Just(0x8a), Just(0x88)], 0..30), 0..20)
        ) {
            let slices: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(released(&slices), chunks.concat());
        }

        #[test]
        fn a_boundary_is_where_a_frame_ends_whatever_the_chunks(
            payloads in vec(vec(any::<u8>(), 0..300), 1..10),
            cuts in vec(1usize..50, 1..20),
        ) {
            let mut stream = Vec::new();
            let mut ends = vec![0];
            for payload in &payloads {
                stream.extend([0x82, 126]);
                stream.extend((payload.len() as u16).to_be_bytes());
                stream.extend(payload);
                ends.push(stream.len());
            }
            let mut scanner = Scanner::default();
            let (mut passed, mut rest) = (0, stream.as_slice());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break }
                let (chunk, next) = rest.split_at((*cut).min(rest.len()));
                rest = next;
                let mut bytes = [&scanner.release_held(), chunk].concat();
                passed += scanner.scan(&mut bytes, Until::ChunkEnd, takes_our_pong).released;
                prop_assert_eq!(!scanner.is_inside_frame(), ends.contains(&passed));
            }
            prop_assert_eq!(passed, stream.len());
        }
    }
}
