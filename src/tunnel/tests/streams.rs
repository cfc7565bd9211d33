//! What applications may send through a tunnel, and in which steps: for property tests.

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    exchange::{Answers, Buffers, Exchange, Step},
    peer::{Spelling, encode},
    rig::traffic,
};
use crate::{tunnel::Party, websocket::Role};

/// What one side sends: frames of whole messages, with control frames between them.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) frames: Vec<Vec<u8>>,
    pub(super) messages: u64,
}

pub(super) fn stream(role: Role) -> impl Strategy<Value = Stream> {
    let message = (
        select(vec![0x1, 0x2, 0x3]),
        vec((frame_of(role, 300), vec(control_frame(role), 0..2)), 1..4),
    );
    let close = proptest::option::of(vec(any::<u8>(), 0..20));
    (vec(message, 0..6), close).prop_map(move |(messages, close)| {
        let mut frames = Vec::new();
        for (opcode, fragments) in &messages {
            let last = fragments.len() - 1;
            for (n, (fragment, controls)) in fragments.iter().enumerate() {
                let opcode = if n == 0 { *opcode } else { 0x0 };
                let fin = if n == last { 0x80 } else { 0 };
                frames.push(fragment.encode(fin | opcode));
                frames.extend(controls.iter().cloned());
            }
        }
        if let Some(payload) = close {
            frames.push(Draft::new(role, payload).encode(0x88));
        }
        Stream {
            frames,
            messages: messages.len() as u64,
        }
    })
}

/// A frame but for its opcode and FIN bit.
#[derive(Debug)]
struct Draft {
    rsv: u8,
    payload: Vec<u8>,
    spelling: Spelling,
    key: Option<[u8; 4]>,
}

impl Draft {
    fn new(role: Role, payload: Vec<u8>) -> Self {
        let key = (role == Role::Client).then_some([9, 8, 7, 6]);
        Self {
            rsv: 0,
            payload,
            spelling: Spelling::Shortest,
            key,
        }
    }

    fn encode(&self, first: u8) -> Vec<u8> {
        encode(
            first | self.rsv << 4,
            &self.payload,
            self.spelling,
            self.key,
        )
    }
}

fn frame_of(role: Role, longest: usize) -> impl Strategy<Value = Draft> {
    let spelling = select(vec![
        Spelling::Shortest,
        Spelling::TwoBytes,
        Spelling::EightBytes,
    ]);
    (
        0u8..8,
        vec(any::<u8>(), 0..longest),
        spelling,
        any::<[u8; 4]>(),
    )
        .prop_map(move |(rsv, payload, spelling, key)| Draft {
            rsv,
            payload,
            spelling,
            key: (role == Role::Client).then_some(key),
        })
}

/// A ping, a pong or a reserved one; pings and pongs as long as ours among them.
fn control_frame(role: Role) -> impl Strategy<Value = Vec<u8>> {
    let first = select(vec![0x89, 0x8a, 0x8b, 0x8f]);
    (first, frame_of(role, 126), any::<bool>()).prop_map(|(first, mut draft, like_ours)| {
        if like_ours {
            draft.payload.resize(8, b'x');
        }
        draft.encode(first)
    })
}

/// Any byte, those more often that begin short control frames.
pub(super) fn odd_byte() -> impl Strategy<Value = u8> {
    prop_oneof![3 => any::<u8>(), 3 => 0u8..9, 1 => select(vec![0x88, 0x89, 0x8a])]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let party = || select(vec![Party::Client, Party::Backend]);
    prop_oneof![
        (party(), 1usize..100).prop_map(|(party, n)| Step::Send(party, n)),
        (party(), 1usize..100).prop_map(|(party, n)| Step::Receive(party, n)),
        (0u64..5).prop_map(Step::Wait),
    ]
}

/// The same, with moves of the tunnel among them.
pub(super) fn step_or_move() -> impl Strategy<Value = Step> {
    prop_oneof![3 => step(), 1 => Just(Step::Move)]
}

/// Those of plain sockets, and a few that keep something back, which cannot always move.
pub(super) fn mostly_plain_buffers() -> impl Strategy<Value = Buffers> {
    let plain = buffers().prop_map(|buffers| Buffers { kept: 0, ..buffers });
    prop_oneof![3 => plain, 1 => buffers()]
}

/// Small ones, so that most writes are partial.
pub(super) fn buffers() -> impl Strategy<Value = Buffers> {
    (1usize..200, 1usize..200, 1usize..100).prop_map(|(client, backend, kept)| Buffers {
        client,
        backend,
        kept,
    })
}

/// Claims that streams of frames pass, whatever happens, and are counted.
pub(super) fn frames_pass_unchanged(
    streams: [Stream; 2],
    buffers: Buffers,
    script: &[Step],
) -> Result<(), TestCaseError> {
    let lens = streams
        .each_ref()
        .map(|s| s.frames.iter().map(Vec::len).sum());
    let messages = streams.each_ref().map(|s| s.messages);
    let frames = streams.map(|s| s.frames);

    let ended = Exchange::new(frames, buffers, Answers::EveryPing).run(script);

    prop_assert_eq!(ended.from_client, traffic(lens[0], messages[0]));
    prop_assert_eq!(ended.from_backend, traffic(lens[1], messages[1]));
    Ok(())
}

/// Claims that chunks of anything do so too.
pub(super) fn bytes_pass_unchanged(
    chunks: [Vec<Vec<u8>>; 2],
    buffers: Buffers,
    script: &[Step],
) -> Result<(), TestCaseError> {
    let lens = chunks.each_ref().map(|chunks| chunks.concat().len());

    let ended = Exchange::new(chunks, buffers, Answers::Nothing).run(script);

    prop_assert_eq!(ended.from_client.bytes, lens[0] as u64);
    prop_assert_eq!(ended.from_backend.bytes, lens[1] as u64);
    Ok(())
}
