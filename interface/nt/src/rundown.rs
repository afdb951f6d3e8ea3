//! Rundown: users of an object come and go without a lock until its owner closes it and waits for the last of them.
//!
//! The kernel has its own ("Run-Down Protection"), which a constant cannot make and which cannot be asked without waiting;
//! this one stands in statics and leaves the waiting to its owner. Any IRQL.

use crate::sync::{AtomicU32, Ordering};

/// Set while the object is open. A closed and empty one is all zeroes, so that tables of them need no room in the image.
const OPEN: u32 = 1 << 31;

/// A count of present users and whether more may come. The owner asks [`is_empty`](Self::is_empty) until it is.
#[derive(Debug)]
pub struct Rundown(AtomicU32);

impl Rundown {
    /// Closed and empty: nothing there yet.
    #[must_use]
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Closed and empty: nothing there yet.
    #[must_use]
    #[cfg(loom)]
    pub fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Lets users in. For the owner, while it is empty. A visitor that is just being turned away keeps its count until it
    /// has left.
    pub fn open(&self) {
        self.0.fetch_or(OPEN, Ordering::Release);
    }

    /// Enters, if the object is open. The pass is given back by dropping it.
    pub fn enter(&self) -> Option<Pass<'_>> {
        // Who comes to a closed door does not count, so that the owner does not wait for newcomers.
        if self.0.load(Ordering::Relaxed) & OPEN == 0 {
            return None;
        }
        let entered = self.0.fetch_add(1, Ordering::Acquire);
        let pass = Pass(self);
        (entered & OPEN != 0).then_some(pass)
    }

    /// Lets nobody in any more. Those inside stay.
    pub fn close(&self) {
        self.0.fetch_and(!OPEN, Ordering::AcqRel);
    }

    /// Closed, and nobody is inside. A visitor that is being turned away counts for a moment.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

impl Default for Rundown {
    fn default() -> Self {
        Self::new()
    }
}

/// Somebody is inside.
#[derive(Debug)]
pub struct Pass<'a>(&'a Rundown);

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Release);
    }
}
