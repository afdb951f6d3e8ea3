//! A value that visitors reach without a lock, until its owner takes it back.
//!
//! Our choice, for what "Run-Down Protection" is for where the visitor may be at any IRQL and must not wait.

use core::marker::PhantomData;
use core::ptr;

use crate::pool::Arc;
use crate::rundown::Rundown;
use crate::sync::{AtomicPtr, Ordering};

/// At most one value, and a rundown of who is using it. Any IRQL, except where said.
#[derive(Debug)]
pub struct Lent<T> {
    /// Open while a value is lent.
    visitors: Rundown,
    value: AtomicPtr<T>,
    /// It owns the value, and gives references to it to any thread.
    owns: PhantomData<Arc<T>>,
}

impl<T> Lent<T> {
    /// Nothing is lent.
    #[must_use]
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self { visitors: Rundown::new(), value: AtomicPtr::new(ptr::null_mut()), owns: PhantomData }
    }

    /// Nothing is lent.
    #[must_use]
    #[cfg(loom)]
    pub fn new() -> Self {
        Self { visitors: Rundown::new(), value: AtomicPtr::new(ptr::null_mut()), owns: PhantomData }
    }

    /// Lends `value`. False, and `value` is dropped: one is lent already.
    pub fn lend(&self, value: Arc<T>) -> bool {
        let value = Arc::into_raw(value).cast_mut();
        let free = ptr::null_mut();
        // Acquire: after the visits to the value before.
        if self.value.compare_exchange(free, value, Ordering::Acquire, Ordering::Relaxed).is_err() {
            // SAFETY: the pointer is that of `into_raw` above, and nobody else has seen it.
            drop(unsafe { Arc::from_raw(value) });
            return false;
        }
        self.visitors.open();
        true
    }

    /// Calls `look` with the value, if one is lent. The owner waits for it: `look` waits for nobody.
    #[inline]
    pub fn visit<R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        let _inside = self.visitors.enter()?;
        let value = self.value.load(Ordering::Relaxed);
        // SAFETY: the rundown lets visitors in after `lend` has stored the pointer of a value that it owns, and `take_back`
        // gives the value up when the last of them has left.
        unsafe { value.as_ref() }.map(look)
    }

    /// Takes the value back, if one is lent, and calls `pause` until no visitor uses it. For one caller at a time, at an IRQL
    /// where the value may be dropped.
    pub fn take_back(&self, mut pause: impl FnMut()) -> Option<Arc<T>> {
        self.visitors.close();
        while !self.visitors.is_empty() {
            pause();
        }
        let value = self.value.swap(ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: a pointer that is not null came from `into_raw` in `lend`. The swap gave it to this call alone, and no
        // visitor has it.
        (!value.is_null()).then(|| unsafe { Arc::from_raw(value) })
    }
}

impl<T> Default for Lent<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        // Nobody visits what is being dropped.
        drop(self.take_back(|| {}));
    }
}
