//! A device's registers, mapped.
//!
//! Access is by volatile loads and stores of the width asked for, as "READ_REGISTER_ULONG" and its like do, at any IRQL.
//! Mapping is for up to DISPATCH_LEVEL ("MmMapIoSpaceEx").

use core::fmt;
use core::ptr::NonNull;

use wdk_sys::ntddk::{MmMapIoSpaceEx, MmUnmapIoSpace};
use wdk_sys::{PAGE_NOCACHE, PAGE_READWRITE, SIZE_T, ULONG};

use crate::irql::Passive;
use crate::page::physical_address;
use crate::wdf::Memory;
use crate::{Result, Status};

/// A mapped range of device registers.
///
/// Accesses are exactly as wide as asked for and are neither merged nor left out. An access outside the range, or one
/// that is not aligned, does not reach the device: a read gives all ones, as from a device that is gone.
///
/// Accesses are allowed at any IRQL; mapping and dropping at PASSIVE_LEVEL (documented "<= DISPATCH_LEVEL").
pub struct Registers {
    base: NonNull<u8>,
    length: usize,
}

// SAFETY: a mapping belongs to the system's address space, and every access is one bus transaction.
unsafe impl Send for Registers {}
// SAFETY: as for `Send`; what concurrent accesses mean is the device's matter, not memory's.
unsafe impl Sync for Registers {}

/// Makes the accessors of one width.
macro_rules! accessors {
    ($($read:ident $write:ident $type:ident $width:literal;)+) => {
        $(
            #[doc = concat!("Reads ", $width, " bits; all ones outside the range.")]
            #[inline]
            #[must_use]
            pub fn $read(&self, offset: usize) -> $type {
                match self.at::<$type>(offset) {
                    // SAFETY: `at` checked range and alignment of a mapping that lives as long as `self`.
                    Some(register) => unsafe { register.as_ptr().read_volatile() },
                    None => $type::MAX,
                }
            }

            #[doc = concat!("Writes ", $width, " bits; outside the range nothing happens.")]
            #[inline]
            pub fn $write(&self, offset: usize, value: $type) {
                if let Some(register) = self.at::<$type>(offset) {
                    // SAFETY: `at` checked range and alignment of a mapping that lives as long as `self`.
                    unsafe { register.as_ptr().write_volatile(value) };
                }
            }
        )+
    };
}

impl Registers {
    /// Maps the range that the device was given, not cached.
    ///
    /// # Errors
    /// INVALID_PARAMETER for an empty range, INSUFFICIENT_RESOURCES when it cannot be mapped.
    pub fn map(memory: Memory, _irql: &Passive) -> Result<Self> {
        let (start, length) = (memory.start(), memory.length() as usize);
        if length == 0 {
            return Err(Status::INVALID_PARAMETER);
        }
        // SAFETY: the range is the device's own, by the resource list it stood in: no access reaches memory of others.
        let base = unsafe {
            MmMapIoSpaceEx(
                physical_address(start),
                length as SIZE_T,
                (PAGE_READWRITE | PAGE_NOCACHE) as ULONG,
            )
        };
        let base = NonNull::new(base.cast()).ok_or(Status::INSUFFICIENT_RESOURCES)?;
        Ok(Self { base, length })
    }

    /// Bytes of the range.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.length
    }

    accessors! {
        read_u8 write_u8 u8 "8";
        read_u16 write_u16 u16 "16";
        read_u32 write_u32 u32 "32";
        read_u64 write_u64 u64 "64";
    }

    /// The register at `offset`, if all of it is inside the range and it is aligned.
    #[inline]
    fn at<T>(&self, offset: usize) -> Option<NonNull<T>> {
        let end = offset.checked_add(size_of::<T>())?;
        if end > self.length {
            return None;
        }
        // SAFETY: the offset is inside the mapping.
        let register = unsafe { self.base.add(offset) }.cast::<T>();
        register.is_aligned().then_some(register)
    }
}

impl Drop for Registers {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this length and is not used again.
        unsafe { MmUnmapIoSpace(self.base.as_ptr().cast(), self.length as SIZE_T) };
    }
}

impl fmt::Debug for Registers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registers, {} bytes", self.length)
    }
}
