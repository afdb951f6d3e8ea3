//! The last events of an image, kept in memory: for the debugger and for crash dumps.
//!
//! A ring of records without a lock, written at any IRQL. A writer takes the next number, marks the record's place as
//! being written, fills it, and marks it with the number. A reader, which is a debugger on a stopped machine or code on a
//! running one, believes a record whose number is the one that belongs there, before and after.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering, fence};

use crate::{EVENTS, Entry, Event, MAX_FIELDS};

/// Number of records that are kept.
pub const LENGTH: usize = 256;

/// The ring. All zeroes when empty, so it costs an image file nothing.
///
/// Layout, for readers of memory: [`HEADER_BYTES`] with the number of events so far in the first 8, then [`LENGTH`] records
/// of [`RECORD_BYTES`]. Event n (from 1) is at record `n % LENGTH`.
#[repr(C, align(64))]
pub struct History {
    written: AtomicU64,
    records: [Record; LENGTH],
}

/// One event: one cache line, all numbers little endian.
#[repr(C, align(64))]
struct Record {
    /// The event's number; 0 while it is being written, or never was.
    number: AtomicU64,
    /// When, in ticks of 100 ns since the machine started.
    time: AtomicU64,
    /// Bits 0..15 the event's id, 16..23 the IRQL, 32..63 the processor.
    what: AtomicU64,
    /// The thread that ran.
    thread: AtomicU64,
    values: [AtomicU64; MAX_FIELDS],
}

/// Bytes before the first record.
pub const HEADER_BYTES: usize = 64;
/// Bytes of a record.
pub const RECORD_BYTES: usize = 64;

const _: () = assert!(core::mem::offset_of!(History, records) == HEADER_BYTES);
const _: () = assert!(size_of::<Record>() == RECORD_BYTES);

/// Where and when something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Ticks of 100 ns since the machine started.
    pub time: u64,
    /// System-wide index of the processor.
    pub processor: u32,
    /// IRQL of the code.
    pub irql: u8,
    /// Number of the thread.
    pub thread: u64,
}

/// An event of the past.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Happened {
    /// Its number, counted from 1 since the image was loaded.
    pub number: u64,
    /// Where and when.
    pub moment: Moment,
    /// Its row in the table.
    pub entry: &'static Entry,
    /// Its values, in the order of the row's fields.
    pub values: [u64; MAX_FIELDS],
}

impl Record {
    const fn empty() -> Self {
        Self {
            number: AtomicU64::new(0),
            time: AtomicU64::new(0),
            what: AtomicU64::new(0),
            thread: AtomicU64::new(0),
            values: [const { AtomicU64::new(0) }; MAX_FIELDS],
        }
    }
}

impl History {
    /// Without events.
    #[must_use]
    pub const fn new() -> Self {
        Self { written: AtomicU64::new(0), records: [const { Record::empty() }; LENGTH] }
    }

    /// Keeps `event`, in the place of the oldest.
    ///
    /// Should [`LENGTH`] others write while one writer is in the middle of its record, the record is a mixture. That takes
    /// a writer that is held up for all that time; its number then tells which event the record claims to be.
    #[inline]
    pub fn keep(&self, event: Event, moment: Moment) {
        // Here the event is known to the compiler, so an image holds the rows of the events that it tells, and no others.
        self.keep_values(event.entry().id, event.values(), moment);
    }

    fn keep_values(&self, id: u16, values: [u64; MAX_FIELDS], moment: Moment) {
        // Relaxed: the number only chooses a place.
        let number = self.written.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let Some(record) = self.place(number) else { return };
        record.number.store(0, Ordering::Relaxed);
        // A reader that sees any of what follows also sees that the record is being written.
        fence(Ordering::Release);
        record.time.store(moment.time, Ordering::Relaxed);
        let what = u64::from(id) | u64::from(moment.irql) << 16 | u64::from(moment.processor) << 32;
        record.what.store(what, Ordering::Relaxed);
        record.thread.store(moment.thread, Ordering::Relaxed);
        for (slot, value) in record.values.iter().zip(values) {
            slot.store(value, Ordering::Relaxed);
        }
        // A reader that sees the number sees the whole record.
        record.number.store(number, Ordering::Release);
    }

    /// How many events there have been.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// The events that are still kept, oldest first. Those that are being written or overwritten are left out.
    pub fn iter(&self) -> impl Iterator<Item = Happened> + '_ {
        let newest = self.written();
        let oldest = newest.saturating_sub(LENGTH as u64).saturating_add(1);
        (oldest..=newest).filter_map(|number| self.read(number))
    }

    fn place(&self, number: u64) -> Option<&Record> {
        self.records.get((number % LENGTH as u64) as usize)
    }

    fn read(&self, number: u64) -> Option<Happened> {
        let record = self.place(number)?;
        if record.number.load(Ordering::Acquire) != number {
            return None;
        }
        let what = record.what.load(Ordering::Relaxed);
        let moment = Moment {
            time: record.time.load(Ordering::Relaxed),
            processor: (what >> 32) as u32,
            irql: (what >> 16) as u8,
            thread: record.thread.load(Ordering::Relaxed),
        };
        let mut values = [0; MAX_FIELDS];
        for (value, slot) in values.iter_mut().zip(&record.values) {
            *value = slot.load(Ordering::Relaxed);
        }
        // If the number is still there, nothing of what was read belongs to a later event.
        fence(Ordering::Acquire);
        if record.number.load(Ordering::Relaxed) != number {
            return None;
        }
        let entry = EVENTS.iter().find(|entry| entry.id == what as u16)?;
        Some(Happened { number, moment, entry, values })
    }
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
