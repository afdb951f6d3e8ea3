//! Two scatter lists become descriptors: as few as the provider's dialect and limits allow (spec 3.20, 3.24).
//!
//! A side of a descriptor is physically contiguous from its start. From 2.0 it may break once, exactly at the end of the
//! page it starts in, and go on at the start of another page (R229, R232, R233). Taking the longest descriptor each time
//! is optimal: starting later in the same buffer never reaches less far.

use netdma_abi::PAGE_SIZE;
use netdma_abi::descriptor::{DESTINATION_PAGE_BREAK, SOURCE_PAGE_BREAK};

use crate::memory::Operation;

const PAGE: u64 = PAGE_SIZE as u64;

/// Physically contiguous bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// First byte.
    pub address: u64,
    /// Bytes.
    pub length: u64,
}

/// A buffer as its physical pieces, in order. Empty runs are skipped; the end of the buffer is the end of the runs.
pub trait Runs {
    /// The next piece.
    fn next_run(&mut self) -> Option<Run>;
}

impl Runs for Option<Run> {
    fn next_run(&mut self) -> Option<Run> {
        self.take()
    }
}

/// A buffer whose first piece has been taken out already.
pub struct Begun<R>(
    /// The first piece, until it is given.
    pub Run,
    /// The rest.
    pub R,
);

impl<R: Runs> Runs for Begun<R> {
    fn next_run(&mut self) -> Option<Run> {
        match self.0.length {
            0 => self.1.next_run(),
            _ => Some(core::mem::take(&mut self.0)),
        }
    }
}

/// What a provider can take in one descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Bytes per descriptor.
    pub maximum_transfer_size: u32,
    /// Largest physical address.
    pub maximum_address: u64,
    /// From 2.0.
    pub page_breaks: bool,
}

/// Why two buffers cannot be copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferError {
    /// A buffer ends before the length asked for.
    TooShort,
    /// A piece lies beyond what the engine reaches, or wraps around.
    OutOfReach,
}

/// One side of a copy: the piece being used and the one behind it.
struct Side<R> {
    runs: R,
    current: Run,
    following: Run,
}

impl<R: Runs> Side<R> {
    /// Makes `current` as long as contiguity or `limit` allows, and knows what follows it.
    #[inline]
    fn look_ahead(&mut self, capabilities: &Capabilities) -> Result<(), TransferError> {
        let limit = u64::from(capabilities.maximum_transfer_size);
        while self.current.length < limit {
            if self.following.length == 0 {
                match self.runs.next_run() {
                    None => break,
                    Some(run) if run.length == 0 => continue,
                    Some(run) => self.following = reachable(run, capabilities)?,
                }
            }
            if self.current.length == 0 {
                self.current = self.following;
            } else if self.current.address.wrapping_add(self.current.length) == self.following.address {
                self.current.length = self.current.length.wrapping_add(self.following.length);
            } else {
                break;
            }
            self.following = Run::default();
        }
        Ok(())
    }

    /// Bytes that one descriptor can take of this side.
    #[inline]
    fn reach(&self, page_breaks: bool) -> u64 {
        let to_page_end = PAGE.wrapping_sub(self.current.address & (PAGE - 1));
        let breaks_here = self.current.length == to_page_end && self.following.address & (PAGE - 1) == 0;
        let second = if page_breaks && breaks_here { self.following.length.min(PAGE) } else { 0 };
        self.current.length.wrapping_add(second)
    }

    /// Uses `length` bytes. Answers where they began and, if they broke, where they went on.
    #[inline]
    fn take(&mut self, length: u64) -> (u64, Option<u64>) {
        let begin = self.current.address;
        match length.checked_sub(self.current.length) {
            None | Some(0) => {
                self.current.address = begin.wrapping_add(length);
                self.current.length = self.current.length.wrapping_sub(length);
                (begin, None)
            }
            Some(second) => {
                let second_begin = self.following.address;
                self.current = Run {
                    address: second_begin.wrapping_add(second),
                    length: self.following.length.wrapping_sub(second),
                };
                self.following = Run::default();
                (begin, Some(second_begin))
            }
        }
    }
}

/// Refuses a piece that wraps around or ends beyond the engine's reach (R70).
fn reachable(run: Run, capabilities: &Capabilities) -> Result<Run, TransferError> {
    match run.address.checked_add(run.length.wrapping_sub(1)) {
        Some(last) if last <= capabilities.maximum_address => Ok(run),
        _ => Err(TransferError::OutOfReach),
    }
}

/// Whether the engine reaches every byte of a piece.
#[must_use]
pub fn is_reachable(run: Run, capabilities: &Capabilities) -> bool {
    run.length == 0 || reachable(run, capabilities).is_ok()
}

/// A copy on its way into descriptors.
pub struct Transfer<D, S> {
    destination: Side<D>,
    source: Side<S>,
    remaining: u64,
    capabilities: Capabilities,
}

impl<D: Runs, S: Runs> Transfer<D, S> {
    /// A copy of `length` bytes.
    pub fn new(destination: D, source: S, length: u32, capabilities: Capabilities) -> Self {
        Self {
            destination: Side { runs: destination, current: Run::default(), following: Run::default() },
            source: Side { runs: source, current: Run::default(), following: Run::default() },
            remaining: length.into(),
            capabilities,
        }
    }

    /// The next descriptor, `None` when all bytes have one.
    ///
    /// # Errors
    /// What [`TransferError`] lists; the transfer is over.
    #[inline]
    pub fn next_operation(&mut self) -> Result<Option<Operation>, TransferError> {
        if self.remaining == 0 {
            return Ok(None);
        }
        self.source.look_ahead(&self.capabilities)?;
        self.destination.look_ahead(&self.capabilities)?;
        let length = self
            .remaining
            .min(self.capabilities.maximum_transfer_size.into())
            .min(self.source.reach(self.capabilities.page_breaks))
            .min(self.destination.reach(self.capabilities.page_breaks));
        if length == 0 {
            return Err(TransferError::TooShort);
        }
        self.remaining = self.remaining.wrapping_sub(length);
        let (source, next_source) = self.source.take(length);
        let (destination, next_destination) = self.destination.take(length);
        let source_flag = if next_source.is_some() { SOURCE_PAGE_BREAK } else { 0 };
        let destination_flag = if next_destination.is_some() { DESTINATION_PAGE_BREAK } else { 0 };
        Ok(Some(Operation {
            size: length as u32,
            flags: source_flag | destination_flag,
            source,
            destination,
            next_source: next_source.unwrap_or(0),
            next_destination: next_destination.unwrap_or(0),
        }))
    }
}
