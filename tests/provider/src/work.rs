//! What an engine does with descriptors (spec 2.2, 2.9, 3.12, 3.13, 3.20, 3.21, 3.22).
#![allow(unsafe_code, reason = "an engine reaches memory by the physical addresses that it is given")]

use core::sync::atomic::{AtomicU64, Ordering};

use netdma_abi::completion::{TransferStatus, word};
use netdma_abi::descriptor::{
    DESCRIPTOR_SIZE, DESTINATION_DCA_ENABLE, DESTINATION_PAGE_BREAK, INTERRUPT_ON_COMPLETION, NULL_TRANSFER,
    OP_TYPE_CONTEXT_CHANGE, OP_TYPE_MASK, SOURCE_PAGE_BREAK, STATUS_UPDATE_ON_COMPLETION,
};
use netdma_abi::provider::CHARACTERISTICS_DCA_SUPPORTED;
use netdma_abi::{PAGE_SIZE, Version};
use netdmasoft_control::Setup;
use nt::irql::Dispatch;
use nt::physical::View;
use nt::{Result, Status};

/// Where the engine is in its list. All addresses are physical.
#[derive(Default)]
pub struct Work {
    /// Lists end by their count, as from 2.0 on.
    counted: bool,
    /// Direct cache access was registered.
    hints: bool,
    pub started: bool,
    pub suspended: bool,
    /// The descriptor to process next; 0: none is known.
    next: u64,
    /// The one processed last; 0: none since the start.
    pub last: u64,
    /// Descriptors that a counted list still has.
    pub remaining: u64,
    pub processed: u64,
    pub words: u64,
    /// Every control flag that a descriptor had.
    pub flags: u32,
    /// Whose cache is hinted at.
    pub target: Option<u8>,
    pub data_hints: u64,
    pub word_hints: u64,
}

/// What became of a step.
pub enum Step {
    /// There was nothing to do.
    Nothing,
    /// A descriptor was processed.
    Done {
        /// It asked for an interrupt.
        interrupt: bool,
    },
    /// The descriptor, or what it names, cannot be reached: the engine stands.
    Failed,
}

/// One side of a copy: a first piece, and what comes behind its page.
#[derive(Clone, Copy)]
struct Side {
    first: u64,
    /// Bytes in the first piece.
    length: u64,
    second: u64,
}

impl Side {
    fn new(first: u64, second: u64, breaks: bool, size: u64) -> Self {
        let page = PAGE_SIZE as u64;
        let to_page_end = page.wrapping_sub(first & page.wrapping_sub(1));
        Self { first, length: if breaks { to_page_end.min(size) } else { size }, second }
    }

    /// Where byte `at` lies, and how many bytes follow without a break.
    fn at(self, at: u64, size: u64) -> (u64, u64) {
        match at.checked_sub(self.length) {
            None => (self.first.wrapping_add(at), self.length.wrapping_sub(at)),
            Some(behind) => (self.second.wrapping_add(behind), size.wrapping_sub(at)),
        }
    }
}

impl Work {
    /// What a channel does right after its allocation.
    pub fn new(setup: Setup) -> Self {
        let counted = setup.version >= Version::V2_0.0;
        let hints = counted && setup.flags & CHARACTERISTICS_DCA_SUPPORTED != 0;
        Self { counted, hints, ..Self::default() }
    }

    /// A new list; what is left of an old one is dropped.
    pub fn start(&mut self, first: u64, count: u32) {
        (self.next, self.last, self.remaining) = (first, 0, count.into());
        (self.started, self.suspended) = (true, false);
    }

    /// More of the list. Below 2.0 the interface has linked it to the old end, which has to be read again if the engine stands
    /// on it.
    ///
    /// # Errors
    /// INVALID_DEVICE_STATE without a start.
    pub fn append(&mut self, count: u32, irql: &Dispatch) -> Result {
        if !self.started {
            return Err(Status::INVALID_DEVICE_STATE);
        }
        if self.counted {
            self.remaining = self.remaining.wrapping_add(count.into());
        } else if self.next == 0 && self.last != 0 {
            let tail = descriptor(self.last, irql)?;
            self.next =
                tail.words().and_then(|words| words.get(3)).map_or(0, |link| link.load(Ordering::Acquire));
        }
        Ok(())
    }

    /// Drops everything and says so (spec 3.15).
    pub fn halt(&mut self, completion: &AtomicU64) {
        (self.next, self.remaining, self.started, self.suspended) = (0, 0, false, false);
        completion.store(word(self.last, TransferStatus::Halted), Ordering::Release);
    }

    /// Stands still until it is resumed (spec 3.14).
    pub fn suspend(&mut self, completion: &AtomicU64) {
        self.suspended = true;
        if self.last != 0 {
            completion.store(word(self.last, TransferStatus::Suspend), Ordering::Release);
        }
    }

    /// Goes on behind the last descriptor, whose link may have changed meanwhile.
    ///
    /// # Errors
    /// The last descriptor cannot be reached.
    pub fn resume(&mut self, irql: &Dispatch) -> Result {
        self.suspended = false;
        if self.last != 0 {
            let tail = descriptor(self.last, irql)?;
            self.next =
                tail.words().and_then(|words| words.get(3)).map_or(0, |link| link.load(Ordering::Acquire));
        }
        Ok(())
    }

    /// Whether there is something to process.
    pub fn is_busy(&self) -> bool {
        self.started && !self.suspended && self.next != 0 && (!self.counted || self.remaining != 0)
    }

    /// Processes one descriptor.
    pub fn step(&mut self, completion: &AtomicU64, irql: &Dispatch) -> Step {
        if !self.is_busy() {
            return Step::Nothing;
        }
        match self.process(completion, irql) {
            Ok(interrupt) => Step::Done { interrupt },
            Err(_) => {
                self.halt(completion);
                Step::Failed
            }
        }
    }

    fn process(&mut self, completion: &AtomicU64, irql: &Dispatch) -> Result<bool> {
        let address = self.next;
        let view = descriptor(address, irql)?;
        let words: &[AtomicU64; DESCRIPTOR_SIZE / 8] =
            view.words().and_then(|words| words.try_into().ok()).ok_or(Status::UNSUCCESSFUL)?;
        let [size_and_flags, source, destination, next, next_source, next_destination, ..] =
            words.each_ref().map(|word| word.load(Ordering::Acquire));
        let (size, flags) = (size_and_flags & 0xFFFF_FFFF, (size_and_flags >> 32) as u32);
        self.flags |= flags;
        let context_change = flags & OP_TYPE_MASK == OP_TYPE_CONTEXT_CHANGE;
        if context_change {
            // A context change moves nothing, and its bit 0 asks for no interrupt (R247).
            self.target = Some(size as u8);
        } else if flags & NULL_TRANSFER == 0 {
            let from = Side::new(source, next_source, flags & SOURCE_PAGE_BREAK != 0, size);
            let to = Side::new(destination, next_destination, flags & DESTINATION_PAGE_BREAK != 0, size);
            copy(from, to, size, irql)?;
            // Where an engine would tell the target's cache of the bytes it has written.
            let hinted = self.hints && self.target.is_some() && flags & DESTINATION_DCA_ENABLE != 0;
            self.data_hints = self.data_hints.wrapping_add(hinted.into());
        }
        if !self.counted {
            // Below 2.0 these two are the engine's while it has the descriptor (R236).
            let [.., first, second, _, _] = words;
            first.store(u64::MAX, Ordering::Relaxed);
            second.store(self.processed, Ordering::Relaxed);
        }
        (self.last, self.next) = (address, next);
        self.remaining = self.remaining.saturating_sub(1);
        self.processed = self.processed.wrapping_add(1);
        if flags & STATUS_UPDATE_ON_COMPLETION != 0 {
            let more = if self.counted { self.remaining != 0 } else { next != 0 };
            let status = if more { TransferStatus::Active } else { TransferStatus::Idle };
            completion.store(word(address, status), Ordering::Release);
            self.words = self.words.wrapping_add(1);
            // With direct cache access each word goes to the cache of the channel's processor (R239, R240).
            self.word_hints = self.word_hints.wrapping_add(self.hints.into());
        }
        Ok(!context_change && flags & INTERRUPT_ON_COMPLETION != 0)
    }
}

/// The descriptor at a physical address.
fn descriptor(address: u64, irql: &Dispatch) -> Result<View> {
    // SAFETY: the interface gives addresses of descriptors in its ring, which stays until the channel is freed.
    unsafe { View::map(address, DESCRIPTOR_SIZE, irql) }
}

/// Copies `size` bytes.
fn copy(from: Side, to: Side, size: u64, irql: &Dispatch) -> Result {
    let mut done = 0;
    while done < size {
        let (source, source_left) = from.at(done, size);
        let (destination, destination_left) = to.at(done, size);
        let length = source_left.min(destination_left);
        // SAFETY: the interface posts copies of memory that its clients have locked until the completion (R264).
        let source = unsafe { View::map(source, length as usize, irql) }?;
        // SAFETY: as above.
        let destination = unsafe { View::map(destination, length as usize, irql) }?;
        for (byte, place) in source.bytes().iter().zip(destination.bytes()) {
            place.store(byte.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        done = done.wrapping_add(length);
    }
    Ok(())
}
