//! Nonpaged pool: owned values that may fail to be made (alloc-can-fail).
//!
//! Memory comes from ExAllocatePool2 (Windows 10 2004), which zeroes it, is not executable, and may be called at
//! DISPATCH_LEVEL and below. So may everything here, as far as the values' own construction and drop allow.

use core::fmt;
use core::marker::PhantomData;
use core::mem;
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering, fence};

use wdk_sys::ntddk::{ExAllocatePool2, ExFreePool};
use wdk_sys::{POOL_FLAG_CACHE_ALIGNED, POOL_FLAG_NON_PAGED, POOL_FLAGS, SIZE_T};

use crate::{Result, Status};

/// Four characters by which pool usage is attributed (`!poolused`, PoolMon, Driver Verifier's pool tracking).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(u32);

impl Tag {
    /// The tag that tools print as these four characters.
    #[must_use]
    pub const fn new(characters: [u8; 4]) -> Self {
        Self(u32::from_le_bytes(characters))
    }
}

/// What the pool aligns every allocation to on x64 ("ExAllocatePool2", remarks).
const POOL_ALIGNMENT: usize = 16;
/// What POOL_FLAG_CACHE_ALIGNED aligns to on every x64 processor.
const CACHE_LINE: usize = 64;

/// Zeroed memory for `count` values.
///
/// An alignment above a cache line does not compile: see `page` for whole pages.
fn allocate<T>(tag: Tag, count: usize) -> Result<NonNull<T>> {
    const { assert!(mem::align_of::<T>() <= CACHE_LINE, "the pool aligns to a cache line at most") };
    let flags: POOL_FLAGS = if mem::align_of::<T>() > POOL_ALIGNMENT {
        POOL_FLAG_NON_PAGED | POOL_FLAG_CACHE_ALIGNED
    } else {
        POOL_FLAG_NON_PAGED
    };
    let bytes = mem::size_of::<T>().checked_mul(count).ok_or(Status::INTEGER_OVERFLOW)?;
    // SAFETY: the flags ask for nonpaged memory and for null rather than an exception on failure; a size of zero, which
    // the pool refuses, is rounded up.
    let memory = unsafe { ExAllocatePool2(flags, bytes.max(1) as SIZE_T, tag.0) };
    let memory = NonNull::new(memory.cast::<T>()).ok_or(Status::INSUFFICIENT_RESOURCES)?;
    if memory.is_aligned() {
        Ok(memory)
    } else {
        free(memory);
        Err(Status::INSUFFICIENT_RESOURCES)
    }
}

/// Returns what `allocate` gave. Private: every caller below owns the memory it passes and forgets it.
fn free<T>(memory: NonNull<T>) {
    // SAFETY: the callers pass a pointer from ExAllocatePool2 that they own and do not use again.
    unsafe { ExFreePool(memory.as_ptr().cast()) }
}

/// One value in nonpaged pool. Never moves while the box lives.
pub struct Box<T> {
    value: NonNull<T>,
    owns: PhantomData<T>,
}

// SAFETY: a box is its value, held by pointer.
unsafe impl<T: Send> Send for Box<T> {}
// SAFETY: a shared box gives shared access to its value and nothing else.
unsafe impl<T: Sync> Sync for Box<T> {}

impl<T> Box<T> {
    /// Moves `value` into the pool.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES when the pool is exhausted; `value` is dropped.
    pub fn new(tag: Tag, value: T) -> Result<Self> {
        let memory = allocate::<T>(tag, 1)?;
        // SAFETY: the memory has the size and alignment of a `T` and belongs to nobody else.
        unsafe { memory.as_ptr().write(value) };
        Ok(Self { value: memory, owns: PhantomData })
    }

    /// A value of zeroes, made in place: for what is too large for the stack.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES when the pool is exhausted.
    ///
    /// # Safety
    /// All zeroes is a value of `T`.
    pub(crate) unsafe fn zeroed(tag: Tag) -> Result<Self> {
        // The pool zeroes what it gives.
        Ok(Self { value: allocate::<T>(tag, 1)?, owns: PhantomData })
    }

    /// Address of the value, for the kernel functions that link it into their lists.
    #[must_use]
    pub const fn as_ptr(&self) -> *mut T {
        self.value.as_ptr()
    }

    /// Gives up ownership without dropping. [`Box::from_raw`] takes it back.
    #[must_use]
    pub fn into_raw(self) -> NonNull<T> {
        let value = self.value;
        mem::forget(self);
        value
    }

    /// Takes back what [`Box::into_raw`] gave.
    ///
    /// # Safety
    /// `value` came from `into_raw`, and this is the only call for it.
    #[must_use]
    pub const unsafe fn from_raw(value: NonNull<T>) -> Self {
        Self { value, owns: PhantomData }
    }
}

impl<T> Deref for Box<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the pointer is to an initialised value that this box owns.
        unsafe { self.value.as_ref() }
    }
}

impl<T> DerefMut for Box<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the pointer is to an initialised value that this box owns, and the box is borrowed exclusively.
        unsafe { self.value.as_mut() }
    }
}

impl<T> Drop for Box<T> {
    fn drop(&mut self) {
        // SAFETY: the box owns the value and is not used again.
        unsafe { ptr::drop_in_place(self.value.as_ptr()) };
        free(self.value);
    }
}

impl<T: fmt::Debug> fmt::Debug for Box<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A value with several owners; the last one drops it, at the IRQL it has then.
///
/// The count cannot overflow: every owner is a pointer in memory, and there are fewer bytes than counts.
pub struct Arc<T> {
    shared: NonNull<Shared<T>>,
    owns: PhantomData<Shared<T>>,
}

struct Shared<T> {
    owners: AtomicUsize,
    value: T,
}

// SAFETY: an owner may be sent to, and drop the value on, another thread: the value must allow both.
unsafe impl<T: Send + Sync> Send for Arc<T> {}
// SAFETY: a shared owner can be cloned on another thread, which is sending.
unsafe impl<T: Send + Sync> Sync for Arc<T> {}

impl<T> Arc<T> {
    /// Moves `value` into the pool, with one owner.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES when the pool is exhausted; `value` is dropped.
    pub fn new(tag: Tag, value: T) -> Result<Self> {
        let shared = Box::new(tag, Shared { owners: AtomicUsize::new(1), value })?;
        Ok(Self { shared: shared.into_raw(), owns: PhantomData })
    }

    fn shared(&self) -> &Shared<T> {
        // SAFETY: this owner keeps the allocation alive.
        unsafe { self.shared.as_ref() }
    }

    /// Whether both are owners of the same value.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.shared == other.shared
    }

    /// Address of the value, as an opaque handle for foreign code. [`Arc::from_raw`] takes it back.
    #[must_use]
    pub fn into_raw(self) -> *const T {
        let value = ptr::from_ref(&self.shared().value);
        mem::forget(self);
        value
    }

    /// Takes back what [`Arc::into_raw`] gave.
    ///
    /// # Safety
    /// `value` came from `into_raw`, and this is the only call for it.
    #[must_use]
    pub unsafe fn from_raw(value: *const T) -> Self {
        // SAFETY: the value lies inside its `Shared`, at this offset.
        let shared = unsafe { value.byte_sub(mem::offset_of!(Shared<T>, value)) }.cast_mut().cast();
        // SAFETY: a pointer into an allocation is not null.
        Self { shared: unsafe { NonNull::new_unchecked(shared) }, owns: PhantomData }
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Self {
        // Relaxed: a new owner is made from one that already sees the value.
        self.shared().owners.fetch_add(1, Ordering::Relaxed);
        Self { shared: self.shared, owns: PhantomData }
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.shared().value
    }
}

impl<T> Drop for Arc<T> {
    fn drop(&mut self) {
        // Release: what this owner did to the value happens before the last owner drops it.
        if self.shared().owners.fetch_sub(1, Ordering::Release) == 1 {
            // The other half: see everything that the other owners did.
            fence(Ordering::Acquire);
            // SAFETY: the pointer came from `into_raw` and this was the last owner.
            drop(unsafe { Box::from_raw(self.shared) });
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Arc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A fixed number of values in nonpaged pool.
pub struct Array<T> {
    values: NonNull<T>,
    length: usize,
    owns: PhantomData<T>,
}

// SAFETY: an array is its values, held by pointer.
unsafe impl<T: Send> Send for Array<T> {}
// SAFETY: a shared array gives shared access to its values and nothing else.
unsafe impl<T: Sync> Sync for Array<T> {}

impl<T> Array<T> {
    /// `length` values, made in order by `make`, which is given each index.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES or INTEGER_OVERFLOW when there is not that much memory; else the first error of `make`.
    /// Values made before an error are dropped.
    pub fn try_new(tag: Tag, length: usize, mut make: impl FnMut(usize) -> Result<T>) -> Result<Self> {
        let values = allocate::<T>(tag, length)?;
        // The array grows value by value, so that an error drops exactly what was made.
        let mut array = Self { values, length: 0, owns: PhantomData };
        for index in 0..length {
            let value = make(index)?;
            // SAFETY: the memory holds `length` values and `index` is below it.
            let slot = unsafe { values.add(index) };
            // SAFETY: the slot is aligned, inside the allocation, and not yet initialised.
            unsafe { slot.as_ptr().write(value) };
            array.length = index.wrapping_add(1);
        }
        Ok(array)
    }

    /// `length` values, made in order by `make`, which is given each index.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES or INTEGER_OVERFLOW when there is not that much memory.
    pub fn new(tag: Tag, length: usize, mut make: impl FnMut(usize) -> T) -> Result<Self> {
        Self::try_new(tag, length, |index| Ok(make(index)))
    }
}

impl<T> Deref for Array<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the first `length` values are initialised and owned by the array.
        unsafe { core::slice::from_raw_parts(self.values.as_ptr(), self.length) }
    }
}

impl<T> DerefMut for Array<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: the first `length` values are initialised and owned by the array, which is borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(self.values.as_ptr(), self.length) }
    }
}

impl<T> Drop for Array<T> {
    fn drop(&mut self) {
        // SAFETY: the array owns the values and is not used again.
        unsafe { ptr::drop_in_place::<[T]>(&mut **self) };
        free(self.values);
    }
}

impl<T: fmt::Debug> fmt::Debug for Array<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
