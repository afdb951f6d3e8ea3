//! How far a channel is, for a poll that takes no lock.
//!
//! Whoever has the channel's lock publishes, before giving it back, what the channel made of the completion word. A poll reads
//! the word itself and then what was published. If that is of the same word and nothing is owed, the lock has nothing to give;
//! if it is of another, somebody has to look. A word never comes back with another meaning while it stands (see
//! [`ring`](crate::ring)), and a poll that meets a publication halfway finds the news the next time it asks.
//!
//! That a poll which finds nothing new takes no lock is D5 of the architecture; how it knows is our choice. Any IRQL.

use crate::channel::Channel;
use crate::memory::RingMemory;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// What a poll finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The request has ended.
    Complete,
    /// It has not, and nothing has happened since the channel was last looked at under its lock.
    Nothing,
    /// Only who has the lock can tell.
    Ask,
}

/// What is published of a channel. Any IRQL.
#[derive(Debug)]
pub struct Progress {
    /// The completion word as the channel last saw or armed it.
    seen: AtomicU64,
    /// Everything before this position is done.
    done: AtomicU64,
    /// Not zero: a look under the lock would do something even if the word is the same.
    owed: AtomicU32,
}

impl Progress {
    /// Of no channel: nothing is done.
    #[must_use]
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self { seen: AtomicU64::new(0), done: AtomicU64::new(0), owed: AtomicU32::new(0) }
    }

    /// Of no channel: nothing is done.
    #[must_use]
    #[cfg(loom)]
    pub fn new() -> Self {
        Self { seen: AtomicU64::new(0), done: AtomicU64::new(0), owed: AtomicU32::new(0) }
    }

    /// Publishes; the channel's lock is held.
    #[inline]
    pub fn publish<M: RingMemory>(&self, channel: &Channel<M>) {
        self.owed.store(channel.owes().into(), Ordering::Relaxed);
        // Release: who finds a request done finds its data as the channel did.
        self.done.store(channel.ring().done(), Ordering::Release);
        // Last: who finds the word seen finds what was made of it.
        self.seen.store(channel.seen(), Ordering::Release);
    }

    /// Looks whether the request of `cookie` has ended. `word` is the channel's completion word.
    #[inline]
    pub fn look(&self, word: &AtomicU64, cookie: usize) -> Look {
        // Before what was made of it: a word that changes in between is another than the one seen.
        let word = word.load(Ordering::Acquire);
        let news = self.seen.load(Ordering::Acquire) != word || self.owed.load(Ordering::Relaxed) != 0;
        if cookie != 0 && cookie as u64 <= self.done.load(Ordering::Acquire) {
            Look::Complete
        } else if news {
            Look::Ask
        } else {
            Look::Nothing
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
