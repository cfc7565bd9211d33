//! A live client over a wire that cuts, delays, spoils, drops and repeats what it says.

#![no_main]

use std::{io::Write, sync::Arc};

use libfuzzer_sys::fuzz_target;
use longwire_fuzz::{CLIENTS, Input, Pipe, Server};
use rustls::ClientConnection;

/// Both ends, and what is on its way.
struct Wire {
    client: ClientConnection,
    server: Server,
    pipe: Pipe,
    upward: Vec<u8>,
    said: Vec<u8>,
    /// Whether all has been carried as it was said.
    is_true: bool,
    has_closed: bool,
    key_updates: usize,
}

impl Wire {
    fn new(client: usize) -> Self {
        let pipe = Pipe::default();
        let name = "one.test".try_into().unwrap();
        Self {
            client: ClientConnection::new(Arc::clone(&CLIENTS[client]), name).unwrap(),
            server: Server::over(&pipe),
            pipe,
            upward: Vec::new(),
            said: Vec::new(),
            is_true: true,
            has_closed: false,
            key_updates: 0,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 14 {
            0..=2 => self.carry(input.length()),
            3 => self.answer(input.length()),
            4 => self.say(input.length()),
            5 => self.server.read(input.length()),
            6 => drop(self.server.write(input.length())),
            7 => drop(self.server.flush()),
            8 => self.server.shut_down(),
            9 => self.close(),
            10 => self.update_keys(),
            11 => self.spoil(input),
            12 => self.repeat_or_drop(input),
            _ => self.settle(),
        }
    }

    /// Carries some of what the client has to say to the server.
    fn carry(&mut self, len: usize) {
        while self.client.wants_write() {
            self.client.write_tls(&mut self.upward).unwrap();
        }
        let len = len.min(self.upward.len());
        self.pipe.give(&self.upward[..len]);
        self.upward.drain(..len);
        self.server.shake_hands();
    }

    /// Lets the server say so much, and carries it to the client.
    fn answer(&mut self, len: usize) {
        self.pipe.make_room(len);
        self.server.shake_hands();
        self.server.flush();
        let written = self.pipe.take_written();
        let mut rest = &written[..];
        while !rest.is_empty() {
            let is_read = self.client.read_tls(&mut rest).is_ok_and(|read| read > 0);
            if let Err(error) = self.client.process_new_packets() {
                assert!(!self.is_true, "{error}");
                break;
            }
            if !is_read {
                break;
            }
            let mut heard = Vec::new();
            let _ = std::io::Read::read_to_end(&mut self.client.reader(), &mut heard);
            assert!(heard.iter().all(|byte| *byte == b's'));
        }
    }

    fn close(&mut self) {
        // Before, it would break the handshake off.
        if !self.client.is_handshaking() {
            self.client.send_close_notify();
            self.has_closed = true;
        }
    }

    fn update_keys(&mut self) {
        // A few more, with nothing said between them, would be refused.
        self.key_updates += 1;
        if self.key_updates < 30 {
            let _ = self.client.refresh_traffic_keys();
        }
    }

    fn say(&mut self, len: usize) {
        if self.has_closed {
            return;
        }
        let text: Vec<u8> = (self.said.len()..).map(|at| at as u8).take(len).collect();
        if let Ok(taken) = self.client.writer().write(&text) {
            self.said.extend_from_slice(&text[..taken]);
        }
    }

    fn spoil(&mut self, input: &mut Input<'_>) {
        let (at, change) = (input.length(), input.byte());
        if let Some(byte) = self.upward.get_mut(at) {
            *byte ^= change;
            self.is_true &= change == 0;
        }
    }

    fn repeat_or_drop(&mut self, input: &mut Input<'_>) {
        let (from, len) = (input.length(), input.length());
        let Some(end) = from
            .checked_add(len)
            .filter(|end| *end <= self.upward.len())
        else {
            return;
        };
        let part: Vec<u8> = self.upward.drain(from..end).collect();
        if input.byte().is_multiple_of(2) {
            self.upward.splice(from..from, [&part[..], &part].concat());
        }
        self.is_true &= len == 0;
    }

    /// Carries everything both ways.
    fn settle(&mut self) {
        for _ in 0..4 {
            self.carry(usize::MAX);
            self.server.read(1000);
            self.answer(1 << 20);
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let mut wire = Wire::new(usize::from(input.byte() % 2));
    if !input.byte().is_multiple_of(4) {
        // Most of what is interesting comes later.
        wire.settle();
    }
    while !input.is_used_up() {
        wire.step(&mut input);
    }
    wire.settle();
    wire.server.read(1 << 16);
    assert!(wire.said.starts_with(&wire.server.heard));
    if wire.is_true && wire.server.is_established() {
        assert!(wire.said == wire.server.heard, "something was lost");
    }
});
