//! Memory that is read and written without a look at what it is.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

use crate::kernel::ExAllocatePool2;

/// Tag of every allocation: `Defe`.
pub const TAG: u32 = u32::from_le_bytes(*b"Defe");
/// POOL_FLAG_NON_PAGED.
pub const NON_PAGED: u64 = 0x40;
/// POOL_FLAG_PAGED.
pub const PAGED: u64 = 0x100;

/// Nonpaged pool. There is enough for everything here, or the driver stops at its first access.
#[must_use]
pub fn allocate<T>(bytes: usize) -> *mut T {
    ExAllocatePool2(NON_PAGED, bytes, TAG).cast()
}

/// Writes the `index`-th value behind `at`.
pub fn store<T>(at: *mut T, index: isize, value: T) {
    // SAFETY: none; whether the place is the driver's is what the machine is asked.
    unsafe { at.offset(index).write_volatile(value) }
}

/// Reads the `index`-th value behind `at`.
#[must_use]
pub fn load<T: Copy>(at: *const T, index: isize) -> T {
    // SAFETY: none, as for `store`.
    unsafe { at.offset(index).read_volatile() }
}

/// A kernel object or a number in the image's data, all zeroes at first.
#[derive(Debug)]
pub struct Shared<T>(UnsafeCell<MaybeUninit<T>>);

// SAFETY: everything goes through the raw pointer; who may touch it when is the driver's business, and its mistake.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// All zeroes.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "only for statics")]
    pub const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::zeroed()))
    }

    /// Where it lies.
    pub const fn at(&self) -> *mut T {
        self.0.get().cast()
    }
}

impl<T: Copy> Shared<T> {
    /// Its value.
    pub fn get(&self) -> T {
        load(self.at(), 0)
    }

    /// Gives it a value.
    pub fn set(&self, value: T) {
        store(self.at(), 0, value);
    }
}
