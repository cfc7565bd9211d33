//! Frame headers, read and written, and the control frames that are ours.

use arrayvec::ArrayVec;

use super::{CloseCode, Opcode, Role};

/// The longest header: two bytes, an eight-byte length, a masking key.
pub const MAX_HEADER_LEN: usize = 14;

/// The longest payload of a control frame (RFC 6455, section 5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;

/// The longest reason in a Close frame: what its code leaves of the payload.
pub const MAX_CLOSE_REASON: usize = MAX_CONTROL_PAYLOAD - 2;

/// The bytes of a control frame, header and payload.
pub type ControlFrame = ArrayVec<u8, { 2 + 4 + MAX_CONTROL_PAYLOAD }>;

/// The header of a frame (RFC 6455, section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Whether it ends its message.
    pub fin: bool,
    /// The three reserved bits, RSV1 the highest; extensions give them meaning.
    pub rsv: u8,
    /// What the frame is.
    pub opcode: Opcode,
    /// The key that the payload is masked with, if it is.
    pub mask: Option<[u8; 4]>,
    /// Bytes of payload that follow.
    pub payload_len: u64,
    /// Bytes of the header itself as it was read; lengths need not be spelt the shortest way.
    pub header_len: usize,
}

impl FrameHeader {
    /// Bytes of the whole frame.
    #[must_use]
    pub fn frame_len(&self) -> u64 {
        self.payload_len.saturating_add(self.header_len as u64)
    }

    /// Reads the header at the start of `bytes`; `None` while some of it is still to come.
    ///
    /// Whatever the bytes are, they are some header: to judge it is the endpoints' business.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [first, second, rest @ ..] = bytes else {
            return None;
        };
        let (payload_len, rest) = match second & 0x7f {
            126 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from(u16::from_be_bytes(*length)), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from_be_bytes(*length), rest)
            }
            short => (u64::from(short), rest),
        };
        let (mask, rest) = if second & 0x80 != 0 {
            let (key, rest) = rest.split_first_chunk()?;
            (Some(*key), rest)
        } else {
            (None, rest)
        };
        Some(Self {
            fin: first & 0x80 != 0,
            rsv: (first >> 4) & 0x7,
            opcode: Opcode::from_bits(*first),
            mask,
            payload_len,
            header_len: bytes.len() - rest.len(),
        })
    }

    /// Whether it ends a message of the application.
    #[must_use]
    pub fn ends_message(&self) -> bool {
        self.fin && !self.opcode.is_control()
    }
}

/// Masks `payload` with `key`, or unmasks it: the same operation (RFC 6455, section 5.3).
pub fn apply_mask(payload: &mut [u8], key: [u8; 4]) {
    for (byte, key) in payload.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// A ping with `payload`, as `sender` sends it. At most [`MAX_CONTROL_PAYLOAD`] bytes are taken.
#[must_use]
pub fn ping(payload: &[u8], sender: Role) -> ControlFrame {
    control(Opcode::Ping, payload, sender)
}

/// A pong with `payload`, as `sender` sends it. At most [`MAX_CONTROL_PAYLOAD`] bytes are taken.
#[must_use]
pub fn pong(payload: &[u8], sender: Role) -> ControlFrame {
    control(Opcode::Pong, payload, sender)
}

/// A Close with `code` and `reason`, as `sender` sends it. A reason of more than
/// [`MAX_CLOSE_REASON`] bytes is cut at a character's end.
#[must_use]
pub fn close(code: CloseCode, reason: &str, sender: Role) -> ControlFrame {
    let reason = &reason[..reason.floor_char_boundary(MAX_CLOSE_REASON)];
    let mut payload = ArrayVec::<u8, MAX_CONTROL_PAYLOAD>::new();
    payload.extend(code.0.to_be_bytes());
    payload.extend(reason.bytes());
    control(Opcode::Close, &payload, sender)
}

/// A text message in one frame, as `sender` sends it.
#[must_use]
pub fn text(message: &str, sender: Role) -> Vec<u8> {
    let mut frame = vec![0x80 | Opcode::Text.bits()];
    let mask_bit = match sender {
        Role::Client => 0x80,
        Role::Server => 0,
    };
    // The shortest spelling that fits (RFC 6455, section 5.2).
    match (u8::try_from(message.len()), u16::try_from(message.len())) {
        (Ok(length @ 0..126), _) => frame.push(mask_bit | length),
        (_, Ok(length)) => {
            frame.push(mask_bit | 126);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(mask_bit | 127);
            frame.extend((message.len() as u64).to_be_bytes());
        }
    }
    match sender {
        Role::Server => frame.extend(message.bytes()),
        Role::Client => {
            let key: [u8; 4] = rand::random();
            frame.extend(key);
            let start = frame.len();
            frame.extend(message.bytes());
            apply_mask(&mut frame[start..], key);
        }
    }
    frame
}

fn control(opcode: Opcode, payload: &[u8], sender: Role) -> ControlFrame {
    let payload = &payload[..payload.len().min(MAX_CONTROL_PAYLOAD)];
    let mut frame = ControlFrame::new();
    frame.push(0x80 | opcode.bits());
    // At most 125, so it fits seven bits.
    let length = payload.len() as u8;
    match sender {
        Role::Server => {
            frame.push(length);
            frame.extend(payload.iter().copied());
        }
        Role::Client => {
            // Fresh and unpredictable for every frame (RFC 6455, section 10.3).
            let key: [u8; 4] = rand::random();
            frame.push(0x80 | length);
            frame.extend(key);
            let start = frame.len();
            frame.extend(payload.iter().copied());
            apply_mask(&mut frame[start..], key);
        }
    }
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The examples of RFC 6455, section 5.7.
    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let hello = FrameHeader::parse(b"\x81\x05Hello").unwrap();
        assert_eq!((hello.fin, hello.opcode), (true, Opcode::Text));
        assert_eq!((hello.payload_len, hello.header_len), (5, 2));

        let masked = FrameHeader::parse(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58").unwrap();
        assert_eq!(masked.mask, Some([0x37, 0xfa, 0x21, 0x3d]));

        let medium = FrameHeader::parse(b"\x82\x7E\x01\x00").unwrap();
        assert_eq!((medium.payload_len, medium.header_len), (256, 4));

        let large = FrameHeader::parse(b"\x82\x7F\0\0\0\0\0\x01\0\0").unwrap();
        assert_eq!((large.payload_len, large.header_len), (65_536, 10));
    }

    #[test]
    fn masking_twice_gives_the_payload_back() {
        let mut payload = *b"\x7f\x9f\x4d\x51\x58";
        apply_mask(&mut payload, [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(&payload, b"Hello");
    }

    #[test]
    fn a_ping_to_a_client_is_bare_and_to_a_backend_masked_afresh() {
        assert_eq!(ping(b"abc", Role::Server).as_slice(), b"\x89\x03abc");

        let (one, other) = (ping(b"abc", Role::Client), ping(b"abc", Role::Client));
        let header = FrameHeader::parse(&one).unwrap();
        let mut payload = [one[6], one[7], one[8]];
        apply_mask(&mut payload, header.mask.unwrap());
        assert_eq!(&payload, b"abc");
        assert_ne!(one, other);
    }

    #[test]
    fn a_close_carries_its_code_and_as_much_of_its_reason_as_fits() {
        assert_eq!(
            close(CloseCode::GOING_AWAY, "bye", Role::Server).as_slice(),
            b"\x88\x05\x03\xe9bye"
        );
        let long = close(CloseCode::NORMAL, &"ä".repeat(100), Role::Server);
        assert_eq!(long[1], 2 + 122, "61 two-byte letters");
        assert!(std::str::from_utf8(&long[4..]).is_ok());
    }

    #[test]
    fn a_text_is_read_as_it_was_written_whatever_its_length() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            for role in [Role::Client, Role::Server] {
                let message = "x".repeat(length);
                let mut frame = text(&message, role);
                let header = FrameHeader::parse(&frame).unwrap();
                assert_eq!((header.fin, header.opcode), (true, Opcode::Text));
                assert_eq!(header.mask.is_some(), role == Role::Client);
                assert_eq!(header.frame_len(), frame.len() as u64);
                let payload = &mut frame[header.header_len..];
                apply_mask(payload, header.mask.unwrap_or_default());
                assert_eq!(payload, message.as_bytes());
            }
        }
    }

    proptest! {
        #[test]
        fn a_header_is_read_the_same_however_much_follows_and_never_too_early(
            bytes in proptest::collection::vec(any::<u8>(), 0..40)
        ) {
            if let Some(header) = FrameHeader::parse(&bytes) {
                prop_assert!(header.header_len <= MAX_HEADER_LEN);
                for end in 0..header.header_len {
                    prop_assert_eq!(FrameHeader::parse(&bytes[..end]), None);
                }
                prop_assert_eq!(FrameHeader::parse(&bytes[..header.header_len]), Some(header));
            } else {
                prop_assert!(bytes.len() < MAX_HEADER_LEN);
            }
        }
    }
}
