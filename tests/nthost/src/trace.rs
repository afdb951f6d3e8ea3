//! What happened: the last events of a machine, and a hash over all of them.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;

/// Events a report shows.
const KEPT: usize = 64;

/// One thing that happened.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its number, from zero.
    pub number: u64,
    /// Virtual time in nanoseconds.
    pub time: u64,
    /// The virtual processor.
    pub cpu: u32,
    /// Its IRQL.
    pub irql: u8,
    /// The thread that was current.
    pub thread: u32,
    /// What happened, for example `KeSetEvent` or `interrupt engine 0 message 1`.
    pub what: Cow<'static, str>,
    /// A value that belongs to it: an argument; for a call the place it came from, relative to the machine.
    pub value: u64,
    /// For a call: the code address it came from.
    pub(crate) caller: Option<u64>,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, time, cpu, irql, thread, what, value, caller: _ } = self;
        write!(
            f,
            "#{number:<7} {:>10}.{:03} us  cpu {cpu} irql {irql:>2} thread {thread:<3} {what} {value:#x}",
            time / 1000,
            time % 1000
        )
    }
}

/// The recorder: a ring of the last events and a running hash.
#[derive(Debug)]
pub(crate) struct Trace {
    ring: VecDeque<Event>,
    count: u64,
    hash: u64,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self { ring: VecDeque::with_capacity(KEPT), count: 0, hash: 0xCBF2_9CE4_8422_2325 }
    }

    pub(crate) fn record(&mut self, mut event: Event) {
        event.number = self.count;
        self.count += 1;
        for byte in event.what.bytes() {
            self.mix(u64::from(byte));
        }
        self.mix(event.time);
        self.mix(u64::from(event.cpu) << 40 | u64::from(event.irql) << 32 | u64::from(event.thread));
        self.mix(event.value);
        if self.ring.len() == KEPT {
            self.ring.pop_front();
        }
        self.ring.push_back(event);
    }

    /// One round of FNV-1a, a word at a time.
    fn mix(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(5);
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn last(&self) -> Vec<Event> {
        self.ring.iter().cloned().collect()
    }
}
