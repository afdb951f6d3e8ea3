//! Handles are values, never pointers: kind, index and generation. A table checks one with two loads, no lock and no
//! memory that could be gone, so any export may be called with anything, at any IRQL.
//!
//! ```text
//!  63      56 55                                16 15             0
//! +----------+------------------------------------+----------------+
//! |   kind   |             generation             |     index      |
//! +----------+------------------------------------+----------------+
//! ```
//!
//! A generation is even while its entry is free and odd while it is in use; each change adds one. 40 bits of it outlast
//! the machine, so a freed handle never comes to name a later object.
//!
//! Handles as values, the three fields and their widths are our choice.

use crate::sync::{AtomicU64, Ordering};

/// What a handle names. The kind keeps a provider's channel handle from passing as a client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A provider, for the provider itself.
    Provider = 0xD1,
    /// A channel, for its provider (`NetDmaChannelHandle`).
    ProviderChannel = 0xD2,
    /// A client.
    Client = 0xD3,
    /// A channel, for its client.
    ClientChannel = 0xD4,
}

const INDEX_BITS: u32 = 16;
const KIND_SHIFT: u32 = 56;
const GENERATION_MASK: u64 = (1 << (KIND_SHIFT - INDEX_BITS)) - 1;

/// A handle taken apart. Nothing is known of it until a [`Table`] has checked it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handle {
    index: u16,
    generation: u64,
}

impl Handle {
    /// The parts of a value that says it is of `kind`; `None` for any other value.
    #[must_use]
    pub const fn parse(kind: Kind, value: usize) -> Option<Self> {
        let value = value as u64;
        if value >> KIND_SHIFT != kind as u64 {
            return None;
        }
        Some(Self { index: value as u16, generation: (value >> INDEX_BITS) & GENERATION_MASK })
    }

    /// The value that crosses the interface. Never zero.
    #[must_use]
    pub const fn value(self, kind: Kind) -> usize {
        ((kind as u64) << KIND_SHIFT | (self.generation & GENERATION_MASK) << INDEX_BITS | self.index as u64)
            as usize
    }

    /// Position in the table.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

/// The generation of one entry. Entries live for ever; what they hold comes and goes.
#[derive(Debug)]
pub struct Generation(AtomicU64);

impl Generation {
    /// A free entry.
    #[must_use]
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// A free entry.
    #[must_use]
    #[cfg(loom)]
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Takes the entry if it is free, and says by which generation it is known from now on.
    fn claim(&self) -> Option<u64> {
        let now = self.0.load(Ordering::Relaxed);
        let next = now.wrapping_add(1) & GENERATION_MASK;
        if now & 1 == 1 {
            return None;
        }
        self.0.compare_exchange(now, next, Ordering::AcqRel, Ordering::Relaxed).ok().map(|_| next)
    }

    /// Frees the entry if `generation` is its present one; `false` when somebody else already did.
    fn release(&self, generation: u64) -> bool {
        let next = generation.wrapping_add(1) & GENERATION_MASK;
        self.0.compare_exchange(generation, next, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    fn is(&self, generation: u64) -> bool {
        generation & 1 == 1 && self.0.load(Ordering::Acquire) == generation
    }
}

impl Default for Generation {
    fn default() -> Self {
        Self::new()
    }
}

/// An entry of a [`Table`]: a generation beside what it names.
#[derive(Debug)]
pub struct Entry<T> {
    generation: Generation,
    value: T,
}

impl<T> Entry<T> {
    /// A free entry around `value`.
    #[cfg(not(loom))]
    pub const fn new(value: T) -> Self {
        Self { generation: Generation::new(), value }
    }

    /// A free entry around `value`.
    #[cfg(loom)]
    pub fn new(value: T) -> Self {
        Self { generation: Generation::new(), value }
    }
}

/// A fixed table of entries, const-initialised and never freed.
#[derive(Debug)]
pub struct Table<T, const N: usize>([Entry<T>; N]);

impl<T, const N: usize> Table<T, N> {
    /// A table of these entries.
    #[must_use]
    pub const fn new(entries: [Entry<T>; N]) -> Self {
        const { assert!(N > 0 && N <= 1 << INDEX_BITS) };
        Self(entries)
    }

    /// Takes a free entry. `None` when all are in use.
    pub fn claim(&self) -> Option<(Handle, &T)> {
        self.0.iter().enumerate().find_map(|(index, entry)| {
            let generation = entry.generation.claim()?;
            Some((Handle { index: index as u16, generation }, &entry.value))
        })
    }

    /// Frees the entry of a handle. `false` for a stale handle: of two racing calls one wins.
    pub fn release(&self, handle: Handle) -> bool {
        self.0.get(handle.index()).is_some_and(|entry| entry.generation.release(handle.generation))
    }

    /// What a handle names, or `None` for a forged or stale one. Two loads.
    #[inline]
    #[must_use]
    pub fn get(&self, handle: Handle) -> Option<&T> {
        let entry = self.0.get(handle.index())?;
        entry.generation.is(handle.generation).then_some(&entry.value)
    }

    /// The entry at a position, in use or not.
    #[must_use]
    pub fn at(&self, index: usize) -> Option<&T> {
        self.0.get(index).map(|entry| &entry.value)
    }

    /// The entries in use, with their present handles.
    pub fn iter(&self) -> impl Iterator<Item = (Handle, &T)> {
        self.0.iter().enumerate().filter_map(|(index, entry)| {
            let generation = entry.generation.0.load(Ordering::Acquire);
            (generation & 1 == 1).then_some((Handle { index: index as u16, generation }, &entry.value))
        })
    }
}
