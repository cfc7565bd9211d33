use std::{collections::VecDeque, fmt, sync::Arc};

use longwire::websocket::Role;

use super::ledger::Ledger;

/// So many messages of one side are on their way, or their answers are.
pub(crate) const WINDOW: u32 = 2;

/// One side of a conversation. It says numbered messages, a few at a time, answers those of the
/// other side, and takes nothing but what has to come next.
pub(super) struct Voice {
    ledger: Arc<Ledger>,
    tunnel: usize,
    side: Role,
    /// Messages that it has said.
    said: u32,
    /// How many answers everybody had heard when it said those that are not answered.
    unanswered: VecDeque<u64>,
    /// Messages of the other side that it has heard.
    heard: u32,
    has_said_farewell: bool,
    has_heard_farewell: bool,
}

impl Voice {
    pub(super) fn new(ledger: &Arc<Ledger>, tunnel: usize, side: Role) -> Self {
        Self {
            ledger: Arc::clone(ledger),
            tunnel,
            side,
            said: 0,
            unanswered: VecDeque::new(),
            heard: 0,
            has_said_farewell: false,
            has_heard_farewell: false,
        }
    }

    /// What it says first.
    pub(super) fn begin(&mut self) -> Vec<String> {
        (0..WINDOW).map(|_| self.say()).collect()
    }

    /// What it says to that.
    ///
    /// # Errors
    /// If it is not what has to come next.
    pub(super) fn hear(&mut self, text: &str) -> Result<Vec<String>, String> {
        if text == message(self.tunnel, self.heard) {
            self.heard += 1;
            return Ok(vec![answer(self.tunnel, self.heard - 1)]);
        }
        if text == FAREWELL && !self.has_heard_farewell {
            self.has_heard_farewell = true;
            return Ok(Vec::new());
        }
        let expected = self.said - self.unanswered.len() as u32;
        match self.unanswered.front() {
            Some(before) if text == answer(self.tunnel, expected) => {
                self.ledger.note_answer(self.tunnel, self.side, *before);
                self.unanswered.pop_front();
                Ok(self.go_on())
            }
            _ => Err(format!("{text:.60} came to {self}")),
        }
    }

    /// Whether all is said and heard.
    pub(super) fn is_done(&self) -> bool {
        self.has_said_farewell && self.has_heard_farewell
    }

    pub(super) fn side(&self) -> Role {
        self.side
    }

    pub(super) fn tunnel(&self) -> usize {
        self.tunnel
    }

    fn go_on(&mut self) -> Vec<String> {
        if !self.ledger.is_over() {
            return vec![self.say()];
        }
        if !self.unanswered.is_empty() {
            return Vec::new();
        }
        self.has_said_farewell = true;
        vec![FAREWELL.to_owned()]
    }

    fn say(&mut self) -> String {
        self.unanswered.push_back(self.ledger.answers());
        self.said += 1;
        message(self.tunnel, self.said - 1)
    }
}

impl fmt::Display for Voice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tunnel,
            side,
            said,
            heard,
            unanswered,
            ..
        } = self;
        let waiting = unanswered.len();
        write!(
            f,
            "the {side:?} of {tunnel}, which has said {said}, has heard {heard}, and waits for \
             {waiting} answers"
        )
    }
}

/// After it a side only answers.
const FAREWELL: &str = "farewell";

/// Now and then one is longer than what is read at a time from some sockets.
fn message(tunnel: usize, number: u32) -> String {
    let width = if number % 64 == 9 { 20_000 } else { 0 };
    format!("message {tunnel} {number:0width$}")
}

fn answer(tunnel: usize, number: u32) -> String {
    format!("answer {tunnel} {number}")
}
