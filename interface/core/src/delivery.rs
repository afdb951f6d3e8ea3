//! Completions leave the lock (no-callback-under-lock) in order and exactly once.
//!
//! Each ring has one room for completions on their way out, and who takes it has the right to deliver. Whoever finds ended
//! requests under the lock takes it, filled; others who find more meanwhile leave them to the deliverer, who looks again
//! before it gives the room back. So a client's callbacks never overlap and never overtake one another, whoever polls or
//! interrupts.

use netdma_abi::NtStatus;

use crate::channel::Channel;
use crate::memory::RingMemory;

/// Completions that a room should hold. Our choice: enough that taking the lock again does not count.
pub const ROOM: usize = 32;

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

/// Completions on their way out, and the right to deliver them.
#[derive(Debug)]
#[must_use = "dropping it loses completions"]
pub struct Delivery<R> {
    room: R,
    count: usize,
}

impl<M: RingMemory> Channel<M> {
    /// Takes the right to deliver, if something ended and nobody has it, with the first completions.
    #[inline]
    pub fn begin_delivery(&mut self) -> Option<Delivery<M::Room>> {
        if !self.ring().has_ended() {
            return None;
        }
        let room = self.take_room()?;
        self.next_delivery(Delivery { room, count: 0 })
    }

    /// More completions for who has the right; `None`: there are none, and the right is given back.
    #[inline]
    pub fn next_delivery(&mut self, mut delivery: Delivery<M::Room>) -> Option<Delivery<M::Room>> {
        delivery.count = if self.ring().has_ended() { self.take_ended(&mut delivery.room) } else { 0 };
        if delivery.count == 0 {
            self.give_room(delivery.room);
            return None;
        }
        Some(delivery)
    }
}

/// A channel behind its lock.
pub trait Locked {
    /// The ring's memory.
    type Memory: RingMemory;
    /// Does something under the lock; `None` if the channel is gone, which cannot be while somebody delivers.
    fn with<R>(&self, act: impl FnOnce(&mut Channel<Self::Memory>) -> R) -> Option<R>;
}

/// Delivers, and whatever ends meanwhile too. Called without the lock; `tell` is the client's callback.
#[inline]
pub fn deliver<L: Locked>(
    channel: &L,
    delivery: Delivery<<L::Memory as RingMemory>::Room>,
    mut tell: impl FnMut(&Completed),
) {
    let mut next = Some(delivery);
    while let Some(delivery) = next {
        for completed in delivery.room.iter().take(delivery.count) {
            tell(completed);
        }
        next = channel.with(|channel| channel.next_delivery(delivery)).flatten();
    }
}
