//! One page of ordinary memory with a physical address.
//!
//! Made at up to DISPATCH_LEVEL ("ExAllocatePool2"); its address may be asked for at any IRQL ("MmGetPhysicalAddress").

use core::fmt;
use core::sync::atomic::AtomicU64;

use wdk_sys::ntddk::MmGetPhysicalAddress;
use wdk_sys::{PAGE_SIZE, PHYSICAL_ADDRESS};

use crate::Result;
use crate::pool::{Box, Tag};

/// Bytes of a page.
pub const SIZE: usize = PAGE_SIZE as usize;
/// 64-bit words of a page.
pub const WORDS: usize = SIZE / size_of::<AtomicU64>();

/// A zeroed page of nonpaged pool, as a client's buffer would be: what a self-test copies between.
///
/// A device may read and write it, hence words are atomics.
pub struct Page(Box<[AtomicU64; WORDS]>);

impl Page {
    /// A zeroed page.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub fn new(tag: Tag) -> Result<Self> {
        // The pool starts an allocation of a page or more on a page ("ExAllocatePool2", remarks), so it is contiguous.
        // SAFETY: all zeroes is a value of an array of atomic integers.
        unsafe { Box::zeroed(tag) }.map(Self)
    }

    /// The words of the page.
    #[must_use]
    pub fn words(&self) -> &[AtomicU64; WORDS] {
        &self.0
    }

    /// Its physical address.
    #[must_use]
    pub fn physical(&self) -> u64 {
        // SAFETY: the page is nonpaged memory that this value owns.
        physical(unsafe { MmGetPhysicalAddress(self.0.as_ptr().cast()) })
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Page at {:#x}", self.physical())
    }
}

/// The number in a PHYSICAL_ADDRESS.
#[must_use]
pub fn physical(address: PHYSICAL_ADDRESS) -> u64 {
    // SAFETY: every member of the union is the same 64 bits.
    unsafe { address.QuadPart }.cast_unsigned()
}

/// A PHYSICAL_ADDRESS from its number.
#[must_use]
pub const fn physical_address(address: u64) -> PHYSICAL_ADDRESS {
    PHYSICAL_ADDRESS { QuadPart: address.cast_signed() }
}
