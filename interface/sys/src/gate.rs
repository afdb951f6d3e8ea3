//! Exclusive claims at PASSIVE_LEVEL that are no locks: the holder may call foreign code, which may come back. Whoever comes
//! back on the holder's own thread is told so, instead of waiting for itself.

use core::sync::atomic::{AtomicUsize, Ordering};

use nt::irql::Passive;
use nt::thread;
use nt::time::Duration;

/// How long a waiter sleeps between two looks. Claims are rare and short.
pub const PAUSE: Duration = Duration::from_millis(1);

/// One claim at a time.
pub struct Gate(AtomicUsize);

impl Gate {
    /// Free.
    pub const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Waits for the claim. `None`: this thread holds it already.
    pub fn enter(&self, irql: &Passive) -> Option<Entered<'_>> {
        let thread = thread::current();
        loop {
            match self.0.compare_exchange(0, thread, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(Entered(self)),
                Err(holder) if holder == thread => return None,
                Err(_) => thread::sleep(PAUSE, irql),
            }
        }
    }

    /// Whether this thread holds the claim.
    pub fn is_mine(&self) -> bool {
        self.0.load(Ordering::Relaxed) == thread::current()
    }
}

/// The claim, until this is dropped.
#[must_use = "the claim ends when this is dropped"]
pub struct Entered<'a>(&'a Gate);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.0.store(0, Ordering::Release);
    }
}
