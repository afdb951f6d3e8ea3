//! References to the kernel's own objects.
//!
//! A reference is taken and given back at up to DISPATCH_LEVEL ("ObfReferenceObject", "ObfDereferenceObject").

use core::ffi::c_void;
use core::ptr::NonNull;

use wdk_sys::ntddk::{ObfDereferenceObject, ObfReferenceObject};
use wdk_sys::{DEVICE_OBJECT, LONG_PTR};

/// A counted reference to a kernel object; the object lives at least as long.
#[derive(Debug)]
pub struct Reference<T>(NonNull<T>);

// SAFETY: the count is atomic, and what else is done with the object goes through functions that take its pointer and
// state their own rules.
unsafe impl<T> Send for Reference<T> {}
// SAFETY: as for `Send`; a shared reference gives nothing but the pointer.
unsafe impl<T> Sync for Reference<T> {}

/// A counted reference to a device object, for instance a provider's physical device object.
pub type Device = Reference<DEVICE_OBJECT>;

impl<T> Reference<T> {
    /// Counts a new reference. Null gives `None`. Callable at DISPATCH_LEVEL and below.
    ///
    /// # Safety
    /// `object` is null or points to an object of the object manager that is alive during the call.
    #[must_use]
    pub unsafe fn new(object: *mut T) -> Option<Self> {
        let object = NonNull::new(object)?;
        // SAFETY: the caller says that the object is alive; the count keeps it so.
        let _count: LONG_PTR = unsafe { ObfReferenceObject(object.as_ptr().cast::<c_void>()) };
        Some(Self(object))
    }

    /// Takes over a reference that somebody else counted.
    ///
    /// # Safety
    /// `object` carries a reference that nobody else will give back.
    pub(crate) const unsafe fn adopt(object: NonNull<T>) -> Self {
        Self(object)
    }

    /// The object's address.
    #[must_use]
    pub const fn as_ptr(&self) -> *mut T {
        self.0.as_ptr()
    }
}

impl<T> Clone for Reference<T> {
    /// Counts one more reference. Callable at DISPATCH_LEVEL and below.
    fn clone(&self) -> Self {
        // SAFETY: this value's own reference keeps the object alive.
        let _count: LONG_PTR = unsafe { ObfReferenceObject(self.0.as_ptr().cast::<c_void>()) };
        Self(self.0)
    }
}

impl<T> Drop for Reference<T> {
    fn drop(&mut self) {
        // SAFETY: this value owns one count.
        let _count: LONG_PTR = unsafe { ObfDereferenceObject(self.0.as_ptr().cast::<c_void>()) };
    }
}
