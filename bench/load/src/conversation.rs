//! The two sides of a tunnel that is never silent: each says numbered messages at its own pace, and
//! the backend repeats every message of the client as well.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::{
    frames::{Closed, Framed, Message},
    unblocked::Unblocked,
    words::{Sequence, Word},
};

/// What a client is told to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mood {
    Talking,
    /// It says no more, and hears the rest.
    Listening,
    /// It says goodbye.
    Leaving,
}

/// What a client has said and heard, for others to see.
#[derive(Default)]
pub struct Account {
    said: Cell<u64>,
    echoes: Cell<Sequence>,
    heard: Cell<Sequence>,
    /// When those messages were said that have not come back.
    waiting: RefCell<VecDeque<Instant>>,
    longest_wait: Cell<Duration>,
}

/// How a conversation ended.
pub enum End {
    /// We wanted it.
    Left,
    /// We did not.
    Lost(String),
}

impl Account {
    pub fn said(&self) -> u64 {
        self.said.get()
    }

    /// Messages that are missing in the midst of others.
    pub fn lost(&self) -> u64 {
        self.echoes.get().lost + self.heard.get().lost
    }

    pub fn repeated(&self) -> u64 {
        self.echoes.get().repeated + self.heard.get().repeated
    }

    /// Messages that the backend said, answers included.
    pub fn heard(&self) -> u64 {
        self.heard.get().last
    }

    /// Messages that have not come back so far.
    pub fn unanswered(&self) -> u64 {
        self.said.get() - self.echoes.get().last
    }

    /// How long a message took to come back at most, one that still has not included.
    pub fn longest_wait(&self) -> Duration {
        let oldest = self.waiting.borrow().front().map(Instant::elapsed);
        self.longest_wait.get().max(oldest.unwrap_or_default())
    }

    /// Nothing will come back any more.
    pub fn close(&self) {
        self.waiting.borrow_mut().clear();
    }

    fn say(&self) -> Word {
        let number = self.said.get() + 1;
        self.said.set(number);
        self.waiting.borrow_mut().push_back(Instant::now());
        Word { number, answers: 0 }
    }

    fn hear(&self, word: Word) {
        update(&self.heard, word.number);
        if word.answers == 0 {
            return;
        }
        update(&self.echoes, word.answers);
        let mut waiting = self.waiting.borrow_mut();
        while waiting.len() as u64 > self.unanswered() {
            let since = waiting.pop_front().expect("there are some");
            self.longest_wait
                .set(self.longest_wait.get().max(since.elapsed()));
        }
    }
}

fn update(sequence: &Cell<Sequence>, number: u64) {
    let mut heard = sequence.get();
    heard.hear(number);
    sequence.set(heard);
}

/// Talks as the client until it is told to leave, or the tunnel ends.
pub async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    mut frames: Framed<S>,
    mut pace: Interval,
    mut mood: watch::Receiver<Mood>,
    account: &Account,
) -> End {
    loop {
        let wanted = *mood.borrow_and_update();
        if wanted == Mood::Leaving {
            return leave(frames, account).await;
        }
        tokio::select! {
            message = frames.next_or_close() => match message {
                Ok(Ok(payload)) => match Word::parse(&payload) {
                    Some(word) => account.hear(word),
                    None => return End::Lost("garbled".to_owned()),
                },
                Ok(Err(Closed(code))) => {
                    let _ = frames.send(Message::close().frame()).await;
                    return End::Lost(format!("close {code}"));
                }
                Err(error) => return End::Lost(reason(&error)),
            },
            _ = pace.tick(), if wanted == Mood::Talking => {
                let frame = say(&frames, account.say());
                if let Err(error) = frames.send(&frame).await {
                    return End::Lost(reason(&error));
                }
            }
            Ok(()) = mood.changed() => {}
        }
    }
}

/// Says Close, and hears the backend out.
async fn leave<S: AsyncRead + AsyncWrite + Unpin>(mut frames: Framed<S>, account: &Account) -> End {
    let _ = frames.send(Message::close().frame()).await;
    loop {
        match frames.next_or_close().await {
            Ok(Ok(payload)) => match Word::parse(&payload) {
                Some(word) => account.hear(word),
                None => return End::Lost("garbled".to_owned()),
            },
            Ok(Err(_)) => return End::Left,
            Err(error) => return End::Lost(format!("{} instead of a Close", reason(&error))),
        }
    }
}

/// Talks as the backend.
pub async fn answer(socket: TcpStream, inbox: BytesMut, mut pace: Interval) -> io::Result<()> {
    let mut frames = Framed::new(Unblocked::new(socket), inbox, false);
    let mut number = 0;
    loop {
        let answers = tokio::select! {
            message = frames.next() => match message? {
                Some(payload) => number_of(&payload)?,
                None => break,
            },
            _ = pace.tick() => 0,
        };
        number += 1;
        let frame = say(&frames, Word { number, answers });
        frames.send(&frame).await?;
    }
    let close = frames.frame(OpCode::Control(Control::Close), &1000_u16.to_be_bytes());
    frames.send(&close).await
}

fn number_of(payload: &Bytes) -> io::Result<u64> {
    let word = Word::parse(payload).ok_or_else(|| io::Error::other("garbled"))?;
    Ok(word.number)
}

/// The frame for it.
pub fn say<S: AsyncRead + AsyncWrite + Unpin>(frames: &Framed<S>, word: Word) -> Vec<u8> {
    frames.frame(OpCode::Data(Data::Binary), &word.payload())
}

/// Ticks of about this period; one that is late delays the others. The `share`, from 0 to 1, says when
/// they begin and by how much they are faster or slower than those of others: or else the long
/// messages of all tunnels would come together.
pub fn pace(period: Duration, share: f64) -> Interval {
    let period = period.mul_f64(0.75 + share / 2.0);
    let mut pace = interval_at(Instant::now() + period.mul_f64(share), period);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

/// What went wrong, in the words of reports.
pub fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "reset".to_owned(),
        io::ErrorKind::UnexpectedEof => "cut off".to_owned(),
        _ => error.to_string(),
    }
}
