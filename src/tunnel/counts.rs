//! What is counted of tunnels: of each, and by each worker of all its own.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use super::clock::{Clock, Tick};
use crate::{
    metrics::{Count, Histogram, LocalCounter, Snapshot, micros},
    websocket::Opcode,
};

/// What has passed in one direction, without frames of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Bytes.
    pub bytes: u64,
    /// Messages that were passed to their end.
    pub messages: u64,
}

/// What is read and counted of one side of a tunnel on its worker.
#[derive(Debug, Clone, Copy)]
pub(super) struct Here<'w> {
    pub(super) clock: &'w Clock,
    pub(super) counts: &'w SideCounts,
    pub(super) meter: &'w Meter,
}

/// What can be read of one side of a live tunnel, from wherever. Its worker alone writes.
#[derive(Debug)]
pub(super) struct Meter {
    bytes: LocalCounter,
    messages: LocalCounter,
    /// When it was heard last, as the bits of a [`Tick`].
    heard: AtomicU32,
    /// How long its last pong took, in microseconds; 0 if there was none.
    round_trip: AtomicU32,
}

/// What a worker counts of its tunnels, apart by the side that it is about.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// What comes from clients, and the pings to them.
    pub(super) client: SideCounts,
    /// What comes from backends, and the pings to them.
    pub(super) backend: SideCounts,
}

/// What a worker counts of one side of its tunnels.
#[derive(Debug)]
pub(super) struct SideCounts {
    bytes: LocalCounter,
    frames: [LocalCounter; OPCODES.len()],
    texts: LocalCounter,
    binaries: LocalCounter,
    message_sizes: Histogram,
    pings: LocalCounter,
    round_trips: Histogram,
    dead: LocalCounter,
}

/// What all workers have counted of one side of all tunnels.
#[derive(Debug, Clone)]
pub struct SideTotals {
    /// Bytes that came from it and were passed on.
    pub bytes: u64,
    /// Frames that came from it and were passed on, by their opcode, as in [`OPCODES`].
    pub frames: [u64; OPCODES.len()],
    /// Text messages, passed on to their end.
    pub texts: u64,
    /// Binary messages, passed on to their end.
    pub binaries: u64,
    /// The payload of messages, in bytes.
    pub message_sizes: Snapshot,
    /// Pings of ours to it.
    pub pings: u64,
    /// How long its pongs took, in microseconds.
    pub round_trips: Snapshot,
    /// How often it was given up, since it had not answered.
    pub dead: u64,
}

/// What all workers have counted of all tunnels.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// What comes from clients, and the pings to them.
    pub client: SideTotals,
    /// What comes from backends, and the pings to them.
    pub backend: SideTotals,
}

/// What opcodes are called.
pub const OPCODES: [&str; 7] = [
    "continuation",
    "text",
    "binary",
    "close",
    "ping",
    "pong",
    "reserved",
];

/// In bytes.
const MESSAGE_SIZES: &[u64] = &[
    16,
    64,
    256,
    1 << 10,
    4 << 10,
    16 << 10,
    64 << 10,
    256 << 10,
    1 << 20,
    16 << 20,
];

/// In microseconds.
const ROUND_TRIPS: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

impl Here<'_> {
    pub(super) fn now(self) -> Tick {
        self.clock.now()
    }

    /// What has passed so far.
    pub(super) fn traffic(self) -> Traffic {
        self.meter.traffic()
    }

    /// Something has come from the side.
    pub(super) fn heard(self) {
        self.meter.heard.store(self.now().to_bits(), Relaxed);
    }

    /// It was sent a ping of ours.
    pub(super) fn pinged(self) {
        self.counts.pings.add(1);
    }

    /// It has answered one.
    pub(super) fn answered(self, within: Duration) {
        self.meter.answered(within);
        self.counts.answered(within);
    }

    /// That much has passed.
    pub(super) fn count(self, passed: Traffic) {
        self.meter.bytes.add(passed.bytes);
        self.meter.messages.add(passed.messages);
        self.counts.bytes.add(passed.bytes);
    }
}

impl Meter {
    /// That of a side that was heard then, and has sent nothing yet.
    pub(super) fn since(heard: Tick) -> Self {
        Self {
            bytes: LocalCounter::default(),
            messages: LocalCounter::default(),
            heard: AtomicU32::new(heard.to_bits()),
            round_trip: AtomicU32::new(0),
        }
    }

    /// That of a side from which so much has passed elsewhere, and which was heard then.
    pub(super) fn resume(&self, passed: Traffic, heard: Tick) {
        self.bytes.add(passed.bytes);
        self.messages.add(passed.messages);
        self.heard.store(heard.to_bits(), Relaxed);
    }

    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            bytes: self.bytes.value(),
            messages: self.messages.value(),
        }
    }

    /// When the side was heard last.
    pub(super) fn heard(&self) -> Tick {
        Tick::from_bits(self.heard.load(Relaxed))
    }

    fn answered(&self, within: Duration) {
        let micros = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
        self.round_trip.store(micros.max(1), Relaxed);
    }

    /// How long its last pong took, if there was one.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        let micros = NonZeroU32::new(self.round_trip.load(Relaxed))?;
        Some(Duration::from_micros(micros.get().into()))
    }
}

impl SideCounts {
    /// A frame passes.
    pub(super) fn frame(&self, opcode: Opcode) {
        let index = match opcode {
            Opcode::Continuation => 0,
            Opcode::Text => 1,
            Opcode::Binary => 2,
            Opcode::Close => 3,
            Opcode::Ping => 4,
            Opcode::Pong => 5,
            Opcode::Reserved(_) => 6,
        };
        self.frames[index].add(1);
    }

    /// A message has passed to its end.
    pub(super) fn message(&self, is_text: bool, bytes: u64) {
        let kind = if is_text { &self.texts } else { &self.binaries };
        kind.add(1);
        self.message_sizes.observe(bytes);
    }

    fn answered(&self, within: Duration) {
        self.round_trips.observe(micros(within));
    }

    /// It has not answered, and was given up.
    pub(super) fn died(&self) {
        self.dead.add(1);
    }
}

impl Default for SideCounts {
    fn default() -> Self {
        Self {
            bytes: LocalCounter::default(),
            frames: Default::default(),
            texts: LocalCounter::default(),
            binaries: LocalCounter::default(),
            message_sizes: Histogram::new(MESSAGE_SIZES),
            pings: LocalCounter::default(),
            round_trips: Histogram::new(ROUND_TRIPS),
            dead: LocalCounter::default(),
        }
    }
}

impl Totals {
    /// Adds what a worker has counted.
    pub(super) fn add(&mut self, counts: &Counts) {
        self.client.add(&counts.client);
        self.backend.add(&counts.backend);
    }
}

impl SideTotals {
    /// Messages, passed on to their end.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.texts + self.binaries
    }

    fn add(&mut self, counts: &SideCounts) {
        self.bytes += counts.bytes.value();
        for (total, frames) in self.frames.iter_mut().zip(&counts.frames) {
            *total += frames.value();
        }
        self.texts += counts.texts.value();
        self.binaries += counts.binaries.value();
        self.message_sizes += &counts.message_sizes.snapshot();
        self.pings += counts.pings.value();
        self.round_trips += &counts.round_trips.snapshot();
        self.dead += counts.dead.value();
    }
}

impl Default for SideTotals {
    fn default() -> Self {
        Self {
            bytes: 0,
            frames: Default::default(),
            texts: 0,
            binaries: 0,
            message_sizes: Snapshot::empty(MESSAGE_SIZES),
            pings: 0,
            round_trips: Snapshot::empty(ROUND_TRIPS),
            dead: 0,
        }
    }
}
