//! Physical memory as the processor sees it: what a software engine reads and writes in the place of a bus master.
//!
//! Mapped by "MmMapIoSpaceEx"; what is mapped may be touched at any IRQL.

use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU64};

use wdk_sys::ntddk::{MmMapIoSpaceEx, MmUnmapIoSpace};
use wdk_sys::{PAGE_READWRITE, SIZE_T, ULONG};

use crate::irql::AtMostDispatch;
use crate::page::physical_address;
use crate::{Result, Status};

/// A mapped range of memory that others may write too, hence atomics.
pub struct View {
    base: NonNull<AtomicU8>,
    length: usize,
}

impl View {
    /// Maps `length` bytes of memory, cached as memory is. At DISPATCH_LEVEL or below.
    ///
    /// # Errors
    /// INVALID_PARAMETER for an empty range, INSUFFICIENT_RESOURCES when it cannot be mapped.
    ///
    /// # Safety
    /// The range is memory, not registers, and its owner lets devices read and write it while the view lives.
    pub unsafe fn map(address: u64, length: usize, _irql: &impl AtMostDispatch) -> Result<Self> {
        if length == 0 || address.checked_add(length as u64).is_none() {
            return Err(Status::INVALID_PARAMETER);
        }
        // SAFETY: by the contract the range is memory that may be accessed from outside its owner.
        let base =
            unsafe { MmMapIoSpaceEx(physical_address(address), length as SIZE_T, PAGE_READWRITE as ULONG) };
        let base = NonNull::new(base.cast()).ok_or(Status::INSUFFICIENT_RESOURCES)?;
        Ok(Self { base, length })
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[AtomicU8] {
        // SAFETY: the mapping has this length and lives as long as `self`; every value of a byte is one of an atomic.
        unsafe { core::slice::from_raw_parts(self.base.as_ptr(), self.length) }
    }

    /// The 64-bit words, if the range is one of aligned words.
    #[must_use]
    pub fn words(&self) -> Option<&[AtomicU64]> {
        let base = self.base.cast::<AtomicU64>();
        let aligned = base.is_aligned() && self.length.is_multiple_of(size_of::<AtomicU64>());
        // SAFETY: aligned, and the mapping has this length and lives as long as `self`.
        aligned.then(|| unsafe {
            core::slice::from_raw_parts(base.as_ptr(), self.length / size_of::<AtomicU64>())
        })
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this length and is not used again.
        unsafe { MmUnmapIoSpace(self.base.as_ptr().cast(), self.length as SIZE_T) };
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "View of {} bytes", self.length)
    }
}
