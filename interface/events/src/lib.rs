//! The one table of event and state names that traces, history and debugger share.
//!
//! A driver reports what happened as a value of [`Event`]: a variant with named fields, so a call site reads
//! like a sentence and cannot mix fields up. Everything else about the event stands once, in [`EVENTS`]: its
//! number, level, who emits it, what it means and, where it reports a fault, what to do about it. From this
//! table are made the ETW events (`nt::trace`), `docs/events.md`, and whatever prints a recorded event.
//!
//! ```
//! use netdma_events::{Event, Level};
//!
//! let event = Event::ProviderStopped { provider: 3, outstanding: 0 };
//! assert_eq!(event.entry().name, "ProviderStopped");
//! assert_eq!(event.entry().level, Level::Information);
//! assert_eq!(event.values()[0], 3);
//! ```
//!
//! The portable crates hand their events to a [`Sink`]; the drivers' sink is `nt::trace`, a test's is a list.
#![no_std]
#![forbid(unsafe_code)]

mod etw;
pub mod history;
mod names;
mod table;

pub use names::{BringUp, InterruptKind, Misuse, Refusal, Setting};
pub use table::{EVENTS, Event};

/// Where a portable crate puts its events.
///
/// Implementations must be callable at any IRQL at which the crate is called, the interrupt service routine's
/// included; they must not block and must not call back.
pub trait Sink {
    /// Records `event`. Never fails: an event that cannot be kept is dropped and counted by the sink.
    fn write(&self, event: Event);
}

/// One row of the table.
#[derive(Debug, PartialEq)]
pub struct Entry {
    /// Stable number, unique over all drivers: 100.. netdma, 200.. ioatdma, 300.. netdmatest. Never reused.
    pub id: u16,
    /// Name in UpperCamelCase, as it appears in traces. Unique.
    pub name: &'static str,
    /// ETW level.
    pub level: Level,
    /// ETW keyword, by which a trace session selects a group of events.
    pub keyword: Keyword,
    /// The image that emits the event.
    pub source: Source,
    /// Names and kinds of the values, in the order of [`Event::values`]; at most [`MAX_FIELDS`].
    pub fields: &'static [Field],
    /// What happened, one sentence.
    pub meaning: &'static str,
    /// What to do about it; empty where nothing is wrong.
    pub remedy: &'static str,
    /// The event's TraceLogging description, ready to be handed to ETW.
    pub metadata: &'static [u8],
}

/// Most fields one event can have: a history record is then one cache line.
pub const MAX_FIELDS: usize = 4;

/// One named value of an event.
#[derive(Debug, PartialEq)]
pub struct Field {
    /// Name in snake_case, as in the variant.
    pub name: &'static str,
    /// How the value reads.
    pub kind: Kind,
}

/// How the 64 bits of a field are to be read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A decimal number.
    Number,
    /// A hexadecimal number: an address, a register, a set of bits.
    Hex,
    /// An NTSTATUS in the low 32 bits.
    Status,
    /// One of the listed names.
    Named(&'static [Name]),
}

/// A value that has a name.
#[derive(Debug, PartialEq)]
pub struct Name {
    /// The value as it stands in the event, in the field's own unit.
    pub value: u64,
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub meaning: &'static str,
}

/// ETW levels (winmeta.h, "Event levels").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Data may be wrong or the machine is at risk.
    Critical = 1,
    /// Something asked for did not happen.
    Error = 2,
    /// Handled, but somebody should know.
    Warning = 3,
    /// Milestones of a normal life.
    Information = 4,
    /// Per batch or per interrupt; off unless asked for.
    Verbose = 5,
}

/// Groups of events, each one bit of the ETW keyword (ours).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Keyword {
    /// Load, registration, start, stop, unload.
    Lifecycle = 0x1,
    /// Channels: allocated, freed, halted, aborted, reset.
    Channel = 0x2,
    /// Batches handed to a provider.
    Data = 0x4,
    /// Power transitions.
    Power = 0x8,
    /// Interrupt resources and service.
    Interrupt = 0x10,
    /// A caller broke the contract.
    Misuse = 0x20,
}

/// The images that emit events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// netdma.sys.
    Netdma,
    /// ioatdma.sys.
    Ioatdma,
    /// netdmatest.sys.
    Netdmatest,
}

/// A 64-bit value that reads best in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hex(pub u64);

/// An NTSTATUS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub i32);

/// What a field's type must tell the table.
trait Value {
    /// How the value reads.
    const KIND: Kind;
    /// The value as it is recorded.
    fn raw(self) -> u64;
}

impl Value for u64 {
    const KIND: Kind = Kind::Number;
    fn raw(self) -> u64 {
        self
    }
}

impl Value for Hex {
    const KIND: Kind = Kind::Hex;
    fn raw(self) -> u64 {
        self.0
    }
}

impl Value for Status {
    const KIND: Kind = Kind::Status;
    fn raw(self) -> u64 {
        u64::from(self.0.cast_unsigned())
    }
}
