//! Completions leave the lock (no-callback-under-lock) in order and exactly once.
//!
//! Each ring has one room for requests on their way out, and who takes it has the right to deliver. Whoever finds something
//! done under the lock takes it, filled; others who find more meanwhile leave that to the deliverer, who looks again
//! before it gives the room back. So a client's callbacks never overlap and never overtake one another, whoever polls or
//! interrupts.

use netdma_abi::NtStatus;
use netdma_abi::client::Statistics;
use netdma_abi::status::{STATUS_PENDING, STATUS_REQUEST_ABORTED, STATUS_SUCCESS};

use crate::channel::Channel;
use crate::memory::{Request, RingMemory};

/// Requests that a room should hold. Our choice: enough that taking the lock again does not count.
pub const ROOM: usize = 64;

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

/// What was told of one room, for the channel's statistics.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    completed: u64,
    aborted: u64,
    failed: u64,
    bytes: u64,
}

/// Requests on their way out, and the right to deliver them.
#[derive(Debug)]
#[must_use = "dropping it loses completions"]
pub struct Delivery<R> {
    room: R,
    /// Position of the first descriptor whose request is in the room.
    first: u64,
    count: usize,
    told: Tally,
}

impl<M: RingMemory> Channel<M> {
    /// Takes the right to deliver, if something is done and nobody has it, with the first requests.
    #[inline]
    pub fn begin_delivery(&mut self) -> Option<Delivery<M::Room>> {
        if !self.ring().has_news() {
            return None;
        }
        let mut room = self.take_room()?;
        let (first, count) = self.take_done(&mut room);
        Some(Delivery { room, first, count, told: Tally::default() })
    }

    /// More requests for who has the right; `None`: there are none, and the right is given back.
    #[inline]
    pub fn next_delivery(&mut self, mut delivery: Delivery<M::Room>) -> Option<Delivery<M::Room>> {
        self.count_told(&delivery.told);
        if !self.ring().has_news() {
            self.give_room(delivery.room);
            return None;
        }
        let (first, count) = self.take_done(&mut delivery.room);
        Some(Delivery { first, count, told: Tally::default(), ..delivery })
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
    mut tell: impl FnMut(Completed),
) {
    let mut next = Some(delivery);
    while let Some(mut delivery) = next {
        delivery.told =
            tell_all(delivery.first, delivery.room.get(..delivery.count).unwrap_or_default(), &mut tell);
        next = channel.with(|channel| channel.next_delivery(delivery)).flatten();
    }
}

/// Tells every request that ends in the descriptors from position `first` on.
#[inline]
fn tell_all(first: u64, room: &[Request], tell: &mut impl FnMut(Completed)) -> Tally {
    let mut told = Tally::default();
    let mut cookie = first;
    for request in room {
        cookie = cookie.wrapping_add(1);
        if request.status == STATUS_SUCCESS {
            told.bytes = told.bytes.wrapping_add(request.bytes.into());
        } else {
            // Neither a failure nor the middle of a request is counted as completed.
            told.completed = told.completed.wrapping_sub(1);
            match request.status {
                STATUS_PENDING => continue,
                STATUS_REQUEST_ABORTED => told.aborted = told.aborted.wrapping_add(1),
                _ => told.failed = told.failed.wrapping_add(1),
            }
        }
        tell(Completed { cookie, context: request.context, status: request.status });
    }
    told.completed = told.completed.wrapping_add(room.len() as u64);
    told
}

impl Tally {
    #[inline]
    pub(crate) fn add_to(&self, statistics: &mut Statistics) {
        statistics.completed = statistics.completed.wrapping_add(self.completed);
        statistics.aborted = statistics.aborted.wrapping_add(self.aborted);
        statistics.failed = statistics.failed.wrapping_add(self.failed);
        statistics.bytes = statistics.bytes.wrapping_add(self.bytes);
    }
}
