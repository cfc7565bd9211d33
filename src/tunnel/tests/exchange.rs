//! Two applications that talk through a tunnel, step by step, each byte accounted for.

use std::{collections::VecDeque, future::poll_fn, pin::Pin, task::Poll, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf},
    time::timeout,
};

use super::{
    odd_sockets::Hoarder,
    peer::whole_frame,
    rig::{QUIET, bare, pass, patiently, settle},
    wandering::Wandering,
};
use crate::{
    config::Keepalive,
    tunnel::{Ended, Party, Policy},
    websocket::{
        Opcode, Role,
        frame::{self, FrameHeader, apply_mask},
    },
};

/// Pings often, and gives nobody up.
const CURIOUS: Policy = Policy {
    keepalive: Keepalive {
        interval: Some(Duration::from_secs(1)),
        timeout: A_LONG_TIME,
    },
    stall: A_LONG_TIME,
    close: A_LONG_TIME,
    ..QUIET
};
const A_LONG_TIME: Duration = Duration::from_secs(1_000_000);

/// Longer than any script.
const A_WHILE: Duration = Duration::from_secs(400);

/// What happens next.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Send(Party, usize),
    Receive(Party, usize),
    /// So many seconds pass; the tunnel does what it can.
    Wait(u64),
    /// The tunnel moves to another process, if it can.
    Move,
}

/// Whether an application answers pings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    EveryPing,
    Nothing,
}

/// How much sockets hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Buffers {
    /// That of the client.
    pub(super) client: usize,
    /// That of the backend.
    pub(super) backend: usize,
    /// What either keeps back until it is flushed.
    pub(super) kept: usize,
}

/// A conversation that is still to be held.
pub(super) struct Exchange {
    from_client: VecDeque<Vec<u8>>,
    from_backend: VecDeque<Vec<u8>>,
    buffers: Buffers,
    answers: Answers,
}

/// One that is held.
struct Conversation {
    client: Application,
    backend: Application,
}

/// One application: what it has to send, and what it makes of what it receives.
struct Application {
    role: Role,
    socket: DuplexStream,
    frames: VecDeque<Vec<u8>>,
    pongs: VecDeque<Vec<u8>>,
    /// What of the frame or pong begun is still to be sent.
    outgoing: VecDeque<u8>,
    silent: bool,
    answers: Answers,
    incoming: Incoming,
}

/// A stream as it is received, told apart into what the other application sent and what is ours.
struct Incoming {
    /// All that the other application sends and that has not come yet.
    expected: VecDeque<u8>,
    unread: Vec<u8>,
    masked: bool,
    closed: bool,
    ended: bool,
    /// Whether there was a Close of ours.
    farewell: bool,
}

impl Exchange {
    /// Each side sends its frames, in order. They may also be no frames at all.
    pub(super) fn new(
        [from_client, from_backend]: [Vec<Vec<u8>>; 2],
        buffers: Buffers,
        answers: Answers,
    ) -> Self {
        Self {
            from_client: from_client.into(),
            from_backend: from_backend.into(),
            buffers,
            answers,
        }
    }

    /// Holds it to its end on a clock of its own: first as `script` says, then as fast as it goes.
    pub(super) fn run(self, script: &[Step]) -> Ended {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(async {
                let (conversation, tunnel) = self.open();
                let played = timeout(A_WHILE, conversation.play(script, &tunnel)).await;
                played.expect("bytes that were sent have not come");
                tunnel.ended().await
            })
    }

    fn open(self) -> (Conversation, Wandering) {
        let (client, client_socket) = tokio::io::duplex(self.buffers.client);
        let (backend, backend_socket) = tokio::io::duplex(self.buffers.backend);
        let to_backend = Incoming::new(Role::Server, &self.from_client);
        let to_client = Incoming::new(Role::Client, &self.from_backend);
        let conversation = Conversation {
            client: Application::new(
                Role::Client,
                client,
                self.from_client,
                self.answers,
                to_client,
            ),
            backend: Application::new(
                Role::Server,
                backend,
                self.from_backend,
                self.answers,
                to_backend,
            ),
        };
        let client = bare(Hoarder::new(client_socket, self.buffers.kept));
        let backend = bare(Hoarder::new(backend_socket, self.buffers.kept));
        let tunnel = Wandering::between(client, backend, CURIOUS);
        (conversation, tunnel)
    }
}

impl Conversation {
    async fn play(mut self, script: &[Step], tunnel: &Wandering) {
        for step in script {
            match *step {
                Step::Send(party, n) => self.of(party).send(n).await,
                Step::Receive(party, n) => self.of(party).receive(n).await,
                Step::Wait(0) => settle().await,
                Step::Wait(seconds) => pass(seconds).await,
                Step::Move => {
                    tunnel.moves().await;
                }
            }
        }
        while !(self.client.is_through() && self.backend.is_through()) {
            self.move_on().await;
        }
        self.client.stop_sending().await;
        self.backend.stop_sending().await;
        while !(self.client.incoming.ended && self.backend.incoming.ended) {
            self.move_on().await;
        }
        self.client.incoming.finish();
        self.backend.incoming.finish();
    }

    async fn move_on(&mut self) {
        for application in [&mut self.client, &mut self.backend] {
            application.send(usize::MAX).await;
            application.receive(usize::MAX).await;
        }
        settle().await;
    }

    fn of(&mut self, party: Party) -> &mut Application {
        match party {
            Party::Client => &mut self.client,
            Party::Backend | Party::Proxy => &mut self.backend,
        }
    }
}

impl Application {
    fn new(
        role: Role,
        socket: DuplexStream,
        frames: VecDeque<Vec<u8>>,
        answers: Answers,
        incoming: Incoming,
    ) -> Self {
        Self {
            role,
            socket,
            frames,
            pongs: VecDeque::new(),
            outgoing: VecDeque::new(),
            silent: false,
            answers,
            incoming,
        }
    }

    /// Whether it has sent all, and received all that does not wait for the end of the stream:
    /// bytes that are no frames may.
    fn is_through(&self) -> bool {
        let received = self.answers == Answers::Nothing || self.incoming.expected.is_empty();
        self.frames.is_empty() && self.outgoing.is_empty() && received
    }

    /// Sends up to `most` bytes, as far as the socket takes them.
    async fn send(&mut self, most: usize) {
        let mut left = most;
        while left > 0 && self.load() {
            let bytes = self.outgoing.make_contiguous();
            let chunk = &bytes[..left.min(bytes.len())];
            let sent = now_or_never(|cx| Pin::new(&mut self.socket).poll_write(cx, chunk)).await;
            let Some(sent) = sent.map(Result::unwrap) else {
                return;
            };
            self.outgoing.drain(..sent);
            left -= sent;
        }
    }

    async fn stop_sending(&mut self) {
        patiently(self.socket.shutdown()).await.unwrap();
        self.silent = true;
    }

    /// Begins the next frame if none is begun, pongs first, and says whether there is one.
    fn load(&mut self) -> bool {
        if self.silent {
            return false;
        }
        if self.outgoing.is_empty() {
            let next = self.pongs.pop_front().or_else(|| self.frames.pop_front());
            self.outgoing = next.unwrap_or_default().into();
        }
        !self.outgoing.is_empty()
    }

    /// Receives up to `most` bytes of what is there.
    async fn receive(&mut self, most: usize) {
        let mut scratch = [0; 512];
        let mut left = most;
        while left > 0 && !self.incoming.ended {
            let room = left.min(scratch.len());
            let mut buffer = ReadBuf::new(&mut scratch[..room]);
            let read = now_or_never(|cx| Pin::new(&mut self.socket).poll_read(cx, &mut buffer));
            if read.await.map(Result::unwrap).is_none() {
                return;
            }
            left -= buffer.filled().len();
            self.incoming.ended = buffer.filled().is_empty();
            for token in self.incoming.take(buffer.filled()) {
                if self.answers == Answers::EveryPing {
                    self.pongs
                        .push_back(frame::pong(&token, self.role).to_vec());
                }
            }
        }
    }
}

impl Incoming {
    fn new(role: Role, frames: &VecDeque<Vec<u8>>) -> Self {
        Self {
            expected: frames.iter().flatten().copied().collect(),
            unread: Vec::new(),
            masked: role == Role::Server,
            closed: false,
            ended: false,
            farewell: false,
        }
    }

    /// Reads on, and gives the tokens of the pings that the sender did not send.
    fn take(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.unread.extend(bytes);
        let mut tokens = Vec::new();
        while let Some(len) = whole_frame(&self.unread) {
            let frame: Vec<u8> = self.unread.drain(..len).collect();
            if self.expects(&frame) {
                self.expected.drain(..len);
                self.closed |= opcode(&frame) == Opcode::Close;
            } else {
                tokens.extend(self.take_ours(&frame));
            }
        }
        tokens
    }

    fn expects(&self, bytes: &[u8]) -> bool {
        bytes.len() <= self.expected.len() && bytes.iter().eq(self.expected.range(..bytes.len()))
    }

    /// A frame that the sender did not send: a ping of ours, or a Close after all that was sent.
    fn take_ours(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        assert!(!self.closed, "nothing of ours follows a Close: {frame:?}");
        let header = FrameHeader::parse(frame).unwrap();
        assert_eq!(header.mask.is_some(), self.masked, "{header:?}");
        assert!(header.fin && header.rsv == 0, "{header:?}");
        let mut payload = frame[header.header_len..].to_vec();
        apply_mask(&mut payload, header.mask.unwrap_or_default());
        match header.opcode {
            Opcode::Ping => {
                assert_eq!(payload.len(), 8);
                Some(payload)
            }
            Opcode::Close => {
                assert_eq!(self.expected.len(), 0, "a Close before the rest");
                (self.closed, self.farewell) = (true, true);
                None
            }
            _ => panic!("neither the sender's nor ours: {frame:?}"),
        }
    }

    /// At the end of the stream: all has come, and a farewell if a boundary allowed one.
    fn finish(&self) {
        assert!(self.unread.iter().eq(&self.expected), "the last frame");
        let whole = self.unread.is_empty();
        let closed_by_sender = self.closed && !self.farewell;
        assert_eq!(self.farewell, whole && !closed_by_sender);
    }
}

fn opcode(frame: &[u8]) -> Opcode {
    Opcode::from_bits(frame[0])
}

/// Polls once.
async fn now_or_never<T>(
    mut poll: impl FnMut(&mut std::task::Context<'_>) -> Poll<T>,
) -> Option<T> {
    poll_fn(|cx| match poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
