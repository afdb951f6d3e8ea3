//! The memory a ring lives in. A device reads and writes it too, so every word is an atomic; the caller owns it, so the
//! core sees it through [`RingMemory`].

use core::ops::DerefMut;

use netdma_abi::status::STATUS_PENDING;
use netdma_abi::{Descriptor, NtStatus};

use crate::sync::{AtomicU64, Ordering};

/// 64-bit words of a page.
#[cfg(not(any(loom, small_pages)))]
pub const WORDS_PER_PAGE: usize = netdma_abi::PAGE_SIZE / size_of::<u64>();

/// 64-bit words of a page, of which only the first are used: loom remembers every value of each.
#[cfg(loom)]
pub const WORDS_PER_PAGE: usize = 8 * WORDS;

/// 64-bit words of a page, of which only the first are used: `tests/exhaustive` reaches every state of so small a ring.
#[cfg(small_pages)]
pub const WORDS_PER_PAGE: usize = 4 * WORDS;

/// Words of a descriptor.
const WORDS: usize = size_of::<Descriptor>() / size_of::<u64>();

/// Descriptors of one page.
pub const SLOTS_PER_PAGE: usize = WORDS_PER_PAGE / WORDS;

/// One page of descriptors, page aligned: the unit in which DMA memory is taken (D5 of the architecture: after start-up only
/// one-page requests can be counted on).
pub type Page = [AtomicU64; WORDS_PER_PAGE];

/// One descriptor as the engine reads it: [`netdma_abi::Descriptor`] in eight words, on its 64-byte boundary (R122).
#[derive(Debug, Clone, Copy)]
pub struct Slot<'a>(&'a [AtomicU64; WORDS]);

/// A slot of a page.
#[inline]
#[must_use]
pub fn slot(page: &Page, index: usize) -> Option<Slot<'_>> {
    page.as_chunks().0.get(index).map(Slot)
}

/// The words of a descriptor that a copy writes each time. Source, destination and the two page-break addresses.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// `TransferSize`, in bytes.
    pub size: u32,
    /// `ControlFlags` without completion flags.
    pub flags: u32,
    /// `SourceAddress`: a bus address.
    pub source: u64,
    /// `DestinationAddress`: a bus address.
    pub destination: u64,
    /// `NextSourceAddress`, looked at with its flag only.
    pub next_source: u64,
    /// `NextDestinationAddress`, looked at with its flag only.
    pub next_destination: u64,
}

impl Slot<'_> {
    /// Writes the operation, page-break addresses only where its flags use them. The link stays.
    #[inline]
    pub fn write(self, operation: &Operation) {
        use netdma_abi::descriptor::{DESTINATION_PAGE_BREAK, SOURCE_PAGE_BREAK};
        let [size_and_flags, source, destination, _, next_source, next_destination, ..] = self.0;
        size_and_flags.store(u64::from(operation.flags) << 32 | u64::from(operation.size), Ordering::Relaxed);
        source.store(operation.source, Ordering::Relaxed);
        destination.store(operation.destination, Ordering::Relaxed);
        if operation.flags & (SOURCE_PAGE_BREAK | DESTINATION_PAGE_BREAK) != 0 {
            next_source.store(operation.next_source, Ordering::Relaxed);
            next_destination.store(operation.next_destination, Ordering::Relaxed);
        }
    }

    /// Writes a copy between two contiguous pieces. The link stays.
    #[inline]
    pub fn write_plain(self, size: u32, flags: u32, source: u64, destination: u64) {
        let [size_and_flags, source_word, destination_word, ..] = self.0;
        size_and_flags.store(u64::from(flags) << 32 | u64::from(size), Ordering::Relaxed);
        source_word.store(source, Ordering::Relaxed);
        destination_word.store(destination, Ordering::Relaxed);
    }

    /// Adds control flags to a descriptor that is not posted yet.
    #[inline]
    pub fn add_flags(self, flags: u32) {
        let [size_and_flags, ..] = self.0;
        let word = size_and_flags.load(Ordering::Relaxed);
        size_and_flags.store(word | u64::from(flags) << 32, Ordering::Relaxed);
    }

    /// Takes control flags from a descriptor that is not posted yet.
    pub fn clear_flags(self, flags: u32) {
        let [size_and_flags, ..] = self.0;
        let word = size_and_flags.load(Ordering::Relaxed);
        size_and_flags.store(word & !(u64::from(flags) << 32), Ordering::Relaxed);
    }

    /// Writes the link. An engine may follow it at once, so what it leads to is in memory before it (Release).
    #[inline]
    pub fn link(self, next: u64) {
        let [_, _, _, link, ..] = self.0;
        link.store(next, Ordering::Release);
    }

    /// Writes the user contexts, which tell a slot's number to whoever reads the ring in a debugger.
    pub fn label(self, slot: u64) {
        let [.., first, second] = self.0;
        first.store(slot, Ordering::Relaxed);
        second.store(0, Ordering::Relaxed);
    }

    /// The slot as the pointer that entry points take.
    #[must_use]
    pub fn as_descriptor(self) -> *mut Descriptor {
        core::ptr::from_ref(self.0).cast::<Descriptor>().cast_mut()
    }

    /// The eight words, for printing and for a software engine.
    #[must_use]
    pub fn words(self) -> [u64; WORDS] {
        self.0.each_ref().map(|word| word.load(Ordering::Relaxed))
    }
}

/// A page of a ring.
#[derive(Debug, Clone, Copy)]
pub struct RingPage<'a> {
    /// Its words.
    pub words: &'a Page,
    /// Its bus address.
    pub address: u64,
}

/// A ring page's bus address beside its number, in a table sorted by address.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct PageAddress {
    /// Bus address, page aligned.
    pub address: u64,
    /// Number of the page in the ring.
    pub page: u32,
}

/// What is told to the client when a slot's descriptor is done: a request stands beside its last descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// The client's context: any value.
    pub context: usize,
    /// Payload bytes.
    pub bytes: u32,
    /// How it ended, once it has ended; STATUS_PENDING where no request ends.
    pub status: NtStatus,
}

impl Request {
    /// No request ends here: the descriptor is not the last of its request, or the interface's own.
    pub const NONE: Self = Self { context: 0, bytes: 0, status: STATUS_PENDING };
}

/// A ring's memory. The core writes slots, reads the completion word, and keeps its tables in memory of the caller.
pub trait RingMemory {
    /// Room for requests on their way out ([`crate::delivery`]): at least one, [`crate::delivery::ROOM`] is good.
    type Room: DerefMut<Target = [Request]>;
    /// Takes the room, if nobody has it.
    fn take_room(&mut self) -> Option<Self::Room>;
    /// Puts it back.
    fn give_room(&mut self, room: Self::Room);
    /// Pages of descriptors; a power of two.
    fn pages(&self) -> usize;
    /// A page.
    fn page(&self, index: usize) -> Option<RingPage<'_>>;
    /// The 64-bit word that the engine reports in.
    fn completion_word(&self) -> &AtomicU64;
    /// One entry per page, sorted by [`crate::ring::Ring::new`].
    fn page_table(&self) -> &[PageAddress];
    /// The same, for sorting.
    fn page_table_mut(&mut self) -> &mut [PageAddress];
    /// One entry per slot: what is told when the slot's descriptor is done.
    fn requests(&self) -> &[Request];
    /// The same, for writing.
    fn requests_mut(&mut self) -> &mut [Request];
}
