//! State that several virtual processors share.
//!
//! A [`Guarded`] value is only reachable inside a closure. No closure may contain a switch point or call driver code:
//! another virtual processor could want the same value. The rule is checked at every switch point. The functions that
//! use the thread-local count are not inlined: see `crate::cpu::parallel`.

use std::cell::Cell;
use std::sync::{Mutex, PoisonError, TryLockError};

thread_local! {
    static OPEN: Cell<u32> = const { Cell::new(0) };
}

/// A value behind a lock that is held for the length of one closure.
#[derive(Debug, Default)]
pub struct Guarded<T>(Mutex<T>);

impl<T> Guarded<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Runs `work` on the value.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let mut value = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _open = Open::new();
        work(&mut value)
    }

    /// Like [`Guarded::with`], or `None` while the value is in use: for reports of a machine that has just stopped.
    pub fn try_with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut value = match self.0.try_lock() {
            Ok(value) => value,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let _open = Open::new();
        Some(work(&mut value))
    }
}

/// Panics when a [`Guarded`] value is in use on this host thread.
#[track_caller]
#[inline(never)]
pub(crate) fn assert_none_open() {
    assert_eq!(OPEN.get(), 0, "a switch point inside Guarded::with");
}

/// Forgets what an abandoned fiber had open, and says whether there was anything: it stays locked for ever.
#[inline(never)]
pub(crate) fn forget_open() -> bool {
    OPEN.replace(0) > 0
}

struct Open;

impl Open {
    #[inline(never)]
    fn new() -> Self {
        OPEN.set(OPEN.get() + 1);
        Self
    }
}

impl Drop for Open {
    #[inline(never)]
    fn drop(&mut self) {
        OPEN.set(OPEN.get().saturating_sub(1));
    }
}
