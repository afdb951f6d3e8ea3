//! Memory descriptor lists: which physical pages a buffer is made of.
//!
//! A caller's MDL chain is untrusted data (client-data-is-untrusted): offsets and lengths are summed with care, the walk
//! is bounded, and a range that the chain does not cover is an error before its first run is handed out.
//!
//! Made, and walked, at up to DISPATCH_LEVEL ("IoAllocateMdl", "MmBuildMdlForNonPagedPool").

use core::fmt;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use core::sync::atomic::AtomicU8;

use wdk_sys::ntddk::{IoAllocateMdl, IoFreeMdl, MmBuildMdlForNonPagedPool};
use wdk_sys::{MDL, PFN_NUMBER};

use crate::pool::{Array, Tag};
use crate::{Result, Status, page};

/// Most MDLs that one chain may have: a walk ends even if a caller links a chain to itself.
pub const MAX_MDLS: usize = 4096;

/// Nonpaged memory of ours with the MDL that describes it: what a client of an engine copies between. A device may read and
/// write it, hence bytes are atomics.
pub struct Buffer {
    bytes: Array<AtomicU8>,
    mdl: NonNull<MDL>,
}

// SAFETY: the MDL is a description of the bytes that nobody changes after `new`.
unsafe impl Send for Buffer {}
// SAFETY: as for `Send`; the bytes are atomics.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// Zeroed memory.
    ///
    /// # Errors
    /// INVALID_PARAMETER for no bytes, INSUFFICIENT_RESOURCES.
    pub fn new(tag: Tag, length: u32) -> Result<Self> {
        if length == 0 {
            return Err(Status::INVALID_PARAMETER);
        }
        let bytes = Array::new(tag, length as usize, |_| AtomicU8::new(0))?;
        // SAFETY: the memory is alive; no packet is given, and no quota is charged.
        let mdl = unsafe { IoAllocateMdl(bytes.as_ptr().cast_mut().cast(), length, 0, 0, ptr::null_mut()) };
        let mdl = NonNull::new(mdl).ok_or(Status::INSUFFICIENT_RESOURCES)?;
        // SAFETY: the MDL was just made for this memory, which is nonpaged pool.
        unsafe { MmBuildMdlForNonPagedPool(mdl.as_ptr()) };
        Ok(Self { bytes, mdl })
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[AtomicU8] {
        &self.bytes
    }

    /// What describes them.
    #[must_use]
    pub fn chain(&self) -> Chain<'_> {
        Chain { first: self.mdl, lives: PhantomData }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: the MDL came from IoAllocateMdl and is not used again; the memory it describes goes after it.
        unsafe { IoFreeMdl(self.mdl.as_ptr()) };
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer of {} bytes", self.bytes.len())
    }
}

/// A chain of MDLs whose pages are locked or nonpaged.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a> {
    first: NonNull<MDL>,
    lives: PhantomData<&'a MDL>,
}

impl<'a> Chain<'a> {
    /// The chain that begins with `first`; null gives `None`.
    ///
    /// # Safety
    /// `first` is null or begins a chain of valid MDLs, linked by `Next`, whose pages stay locked for `'a`.
    #[must_use]
    pub const unsafe fn from_ptr(first: *mut MDL) -> Option<Self> {
        match NonNull::new(first) {
            Some(first) => Some(Self { first, lives: PhantomData }),
            None => None,
        }
    }

    /// The first MDL, to be passed on.
    #[must_use]
    pub const fn as_ptr(self) -> *mut MDL {
        self.first.as_ptr()
    }

    /// Bytes that the chain describes.
    ///
    /// # Errors
    /// INVALID_BUFFER_SIZE when the chain has more than [`MAX_MDLS`] MDLs.
    pub fn length(self) -> Result<u64> {
        if self.mdls().nth(MAX_MDLS).is_some() {
            return Err(Status::INVALID_BUFFER_SIZE);
        }
        // 4096 times 2^32 does not reach 2^64.
        Ok(self.mdls().take(MAX_MDLS).fold(0, |sum: u64, mdl| sum.saturating_add(mdl.bytes.into())))
    }

    /// The physical runs of `length` bytes that begin `offset` bytes into the chain.
    ///
    /// # Errors
    /// INVALID_PARAMETER when the chain is shorter than `offset + length`, INTEGER_OVERFLOW when that sum is not a
    /// number, INVALID_BUFFER_SIZE when the chain has more than [`MAX_MDLS`] MDLs.
    pub fn runs(self, offset: u64, length: u64) -> Result<Runs<'a>> {
        let end = offset.checked_add(length).ok_or(Status::INTEGER_OVERFLOW)?;
        let mut covered = 0_u64;
        let mut first = None;
        for (mdl, _) in self.mdls().zip(0..MAX_MDLS) {
            let start = covered;
            // 4096 times 2^32 does not reach 2^64.
            covered = covered.saturating_add(u64::from(mdl.bytes));
            if first.is_none() && covered > offset {
                first = Some((mdl, offset.saturating_sub(start) as u32));
            }
            if covered >= end {
                let (mdl, skip) = first.unwrap_or((mdl, mdl.bytes));
                return Ok(Runs { at: Some(mdl), skip, left: length });
            }
        }
        if self.mdls().nth(MAX_MDLS).is_some() {
            return Err(Status::INVALID_BUFFER_SIZE);
        }
        Err(Status::INVALID_PARAMETER)
    }

    fn mdls(self) -> impl Iterator<Item = Part<'a>> {
        let mut next = Some(Part::of(self.first));
        core::iter::from_fn(move || {
            let part = next?;
            next = part.next();
            Some(part)
        })
    }
}

/// What one MDL says.
#[derive(Clone, Copy)]
struct Part<'a> {
    mdl: NonNull<MDL>,
    /// Bytes it describes.
    bytes: u32,
    /// Byte of its first page at which they begin.
    byte_offset: u32,
    lives: PhantomData<&'a MDL>,
}

impl Part<'_> {
    fn of(mdl: NonNull<MDL>) -> Self {
        // SAFETY: `Chain::from_ptr` was promised valid MDLs, linked by valid pointers.
        let header = unsafe { mdl.as_ref() };
        Self {
            mdl,
            bytes: header.ByteCount,
            byte_offset: header.ByteOffset % page::SIZE as u32,
            lives: PhantomData,
        }
    }

    fn next(self) -> Option<Self> {
        // SAFETY: as in `of`.
        let next = unsafe { self.mdl.as_ref() }.Next;
        NonNull::new(next).map(Self::of)
    }

    /// Frame of the page that holds byte `at` of the buffer, and that byte's offset in the page.
    fn locate(self, at: u32) -> (PFN_NUMBER, u32) {
        let from_first_page = u64::from(self.byte_offset).wrapping_add(u64::from(at));
        let index = (from_first_page / page::SIZE as u64) as usize;
        // SAFETY: the header is followed by the frame numbers (MmGetMdlPfnArray of wdm.h).
        let frames = unsafe { self.mdl.add(1) }.cast::<PFN_NUMBER>();
        // SAFETY: there is one for each page that the buffer touches, and `at` is below its byte count.
        let frame = unsafe { frames.add(index) };
        // SAFETY: as above; a frame number is aligned because the header's size is a multiple of 8.
        (unsafe { frame.read() }, (from_first_page % page::SIZE as u64) as u32)
    }
}

/// A run of bytes that lie next to each other in physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Physical address of the first byte.
    pub address: u64,
    /// Bytes; at least 1.
    pub length: u32,
}

/// The physical runs of a range, in order. Neighbouring frames of one MDL are joined.
#[derive(Clone)]
pub struct Runs<'a> {
    at: Option<Part<'a>>,
    /// Bytes of the MDL at hand that are done.
    skip: u32,
    /// Bytes of the range that are left.
    left: u64,
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        if self.left == 0 {
            return None;
        }
        let mut part = self.at?;
        // `Chain::runs` has counted the MDLs and found them to cover the range.
        while self.skip >= part.bytes {
            self.skip = 0;
            part = part.next()?;
            self.at = Some(part);
        }
        let wanted = u64::from(part.bytes.wrapping_sub(self.skip)).min(self.left) as u32;
        let (frame, in_page) = part.locate(self.skip);
        let mut length = wanted.min((page::SIZE as u32).wrapping_sub(in_page));
        let mut expected = frame.wrapping_add(1);
        while length < wanted {
            let (next, _) = part.locate(self.skip.wrapping_add(length));
            if next != expected {
                break;
            }
            expected = next.wrapping_add(1);
            length = length.saturating_add(page::SIZE as u32).min(wanted);
        }
        self.skip = self.skip.wrapping_add(length);
        self.left = self.left.wrapping_sub(u64::from(length));
        Some(Run { address: frame.wrapping_mul(page::SIZE as u64).wrapping_add(u64::from(in_page)), length })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::ptr;
    use std::boxed::Box;
    use std::vec::Vec;

    use super::*;

    /// An MDL as the memory manager builds it: header, then frame numbers.
    #[repr(C)]
    struct Described {
        header: MDL,
        frames: [PFN_NUMBER; 8],
    }

    /// A chain of MDLs, each given as byte offset in the first page, byte count, and frames.
    #[expect(clippy::vec_box, reason = "an MDL that another one points to must not move")]
    fn chain(parts: &[(u32, u32, &[PFN_NUMBER])]) -> Vec<Box<Described>> {
        let mut chain: Vec<Box<Described>> = Vec::new();
        for (byte_offset, byte_count, frames) in parts.iter().rev() {
            let mut described = Described { header: MDL::default(), frames: [0; 8] };
            described.header.ByteOffset = *byte_offset;
            described.header.ByteCount = *byte_count;
            described.header.Next =
                chain.last_mut().map_or(ptr::null_mut(), |next| &raw mut **next as *mut MDL);
            described.frames[..frames.len()].copy_from_slice(frames);
            chain.push(Box::new(described));
        }
        chain
    }

    fn runs(parts: &[(u32, u32, &[PFN_NUMBER])], offset: u64, length: u64) -> Result<Vec<(u64, u32)>> {
        let mut owners = chain(parts);
        let first = owners.last_mut().map_or(ptr::null_mut(), |first| &raw mut **first as *mut MDL);
        // SAFETY: the MDLs are valid and live until the end of this function.
        let chain = unsafe { Chain::from_ptr(first) }.expect("a chain of at least one");
        chain.runs(offset, length).map(|runs| runs.map(|run| (run.address, run.length)).collect())
    }

    #[test]
    fn neighbouring_frames_become_one_run() {
        assert_eq!(runs(&[(0, 0x3000, &[5, 6, 7])], 0, 0x3000), Ok(Vec::from([(0x5000, 0x3000)])));
    }

    #[test]
    fn frames_that_are_no_neighbours_are_runs_of_their_own() {
        let expected = Vec::from([(0x5000, 0x1000), (0x9000, 0x1000), (0x8000, 0x1000)]);
        assert_eq!(runs(&[(0, 0x3000, &[5, 9, 8])], 0, 0x3000), Ok(expected));
    }

    #[test]
    fn odd_offsets_and_lengths_are_kept_to_the_byte() {
        let expected = Vec::from([(0x5FFF, 1), (0x9000, 0x1000), (0x2000, 1)]);
        assert_eq!(runs(&[(0xF00, 0x1200, &[5, 9, 2])], 0xFF, 0x1002), Ok(expected));
    }

    #[test]
    fn a_range_goes_on_in_the_next_mdl_and_runs_end_with_their_mdl() {
        let expected = Vec::from([(0x5FF0, 0x10), (0x6000, 0x20)]);
        assert_eq!(runs(&[(0xFF0, 0x10, &[5]), (0, 0x20, &[6])], 0, 0x30), Ok(expected));
    }

    #[test]
    fn an_offset_beyond_the_first_mdl_begins_in_the_second() {
        let expected = Vec::from([(0x6001, 0x1F)]);
        assert_eq!(runs(&[(0, 0x10, &[5]), (0, 0x20, &[6])], 0x11, 0x1F), Ok(expected));
    }

    #[test]
    fn empty_mdls_are_stepped_over() {
        let expected = Vec::from([(0x5000, 0x10), (0x6000, 0x10)]);
        assert_eq!(
            runs(&[(0, 0, &[]), (0, 0x10, &[5]), (0, 0, &[]), (0, 0x10, &[6])], 0, 0x20),
            Ok(expected)
        );
    }

    #[test]
    fn a_range_longer_than_the_chain_is_refused_before_its_first_run() {
        assert_eq!(runs(&[(0, 0x10, &[5])], 1, 0x10), Err(Status::INVALID_PARAMETER));
    }

    #[test]
    fn a_sum_that_overflows_is_refused() {
        assert_eq!(runs(&[(0, 0x10, &[5])], u64::MAX, 1), Err(Status::INTEGER_OVERFLOW));
    }

    #[test]
    fn nothing_of_a_chain_is_no_run() {
        assert_eq!(runs(&[(0, 0x10, &[5])], 0x10, 0), Ok(Vec::new()));
    }

    #[test]
    fn a_chain_linked_to_itself_ends_the_walk() {
        let mut owners = chain(&[(0, 0, &[])]);
        let mdl = &raw mut *owners[0] as *mut MDL;
        owners[0].header.Next = mdl;
        // SAFETY: the MDL is valid and lives until the end of this function.
        let chain = unsafe { Chain::from_ptr(mdl) }.expect("a chain of at least one");
        assert_eq!(chain.runs(0, 1).map(drop), Err(Status::INVALID_BUFFER_SIZE));
    }
}
