//! Completions leave the lock (no-callback-under-lock) in order and exactly once.
//!
//! Whoever finds ended requests under the lock takes the first [`Batch`] of them and with it the right to deliver; others
//! who find more meanwhile leave them to the deliverer, who looks again before it gives the right back. So a client's
//! callbacks never overlap and never overtake one another, whoever polls or interrupts.

use netdma_abi::NtStatus;

use crate::channel::Channel;
use crate::memory::RingMemory;

/// Completions taken out in one go. Small: it lives on the stack, and is written whole.
pub const BATCH: usize = 8;

/// A request that ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Completed {
    /// What the submission answered.
    pub cookie: u64,
    /// The client's context.
    pub context: usize,
    /// Success, aborted, or an engine error.
    pub status: NtStatus,
}

/// Some completions, and the right to deliver until [`Channel::next_batch`] answers `None`.
#[derive(Debug)]
#[must_use = "dropping a batch loses completions"]
pub struct Batch {
    completed: [Completed; BATCH],
    count: usize,
}

impl Batch {
    /// The completions, oldest first.
    pub fn completed(&self) -> impl Iterator<Item = &Completed> {
        self.completed.iter().take(self.count)
    }
}

impl<M: RingMemory> Channel<M> {
    /// Takes the right to deliver if something ended and nobody has it.
    #[inline]
    pub fn begin_delivery(&mut self) -> Option<Batch> {
        if self.delivering || !self.ring().has_ended() {
            return None;
        }
        self.next_batch()
    }

    /// More completions for who has the right, or `None`: the right is given back.
    #[inline]
    pub fn next_batch(&mut self) -> Option<Batch> {
        let mut batch = Batch { completed: [Completed::default(); BATCH], count: 0 };
        for completed in &mut batch.completed {
            let Some(request) = self.take_ended() else { break };
            *completed = Completed { cookie: request.end, context: request.context, status: request.status };
            batch.count = batch.count.wrapping_add(1);
        }
        self.delivering = batch.count != 0;
        self.delivering.then_some(batch)
    }
}

/// A channel behind its lock.
pub trait Locked {
    /// The ring's memory.
    type Memory: RingMemory;
    /// Does something under the lock; `None` if the channel is gone, which cannot be while somebody delivers.
    fn with<R>(&self, act: impl FnOnce(&mut Channel<Self::Memory>) -> R) -> Option<R>;
}

/// Delivers a batch and whatever ends meanwhile. Called without the lock; `tell` is the client's callback.
#[inline]
pub fn deliver(channel: &impl Locked, batch: Option<Batch>, mut tell: impl FnMut(&Completed)) {
    let mut next = batch;
    while let Some(batch) = next {
        for completed in batch.completed() {
            tell(completed);
        }
        next = channel.with(Channel::next_batch).flatten();
    }
}
