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
    /// What the submission answered: the position behind the request's last descriptor.
    pub cookie: u64,
    /// The client's context for the request: any value.
    pub context: usize,
    /// Success, aborted, or an engine error.
    pub status: NtStatus,
}

/// Requests on their way out, and the right to deliver them.
#[derive(Debug)]
#[must_use = "dropping it loses completions"]
pub struct Delivery<R> {
    room: R,
    /// Position of the first descriptor whose request is in the room.
    first: u64,
    count: usize,
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
        Some(Delivery { room, first, count })
    }

    /// More requests for who has the right; `None`: there are none, and the right is given back.
    #[inline]
    pub fn next_delivery(&mut self, mut delivery: Delivery<M::Room>) -> Option<Delivery<M::Room>> {
        if !self.ring().has_news() {
            self.give_room(delivery.room);
            return None;
        }
        let (first, count) = self.take_done(&mut delivery.room);
        Some(Delivery { first, count, ..delivery })
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
    while let Some(delivery) = next {
        tell_all(delivery.first, delivery.room.get(..delivery.count).unwrap_or_default(), &mut tell);
        next = channel.with(|channel| channel.next_delivery(delivery)).flatten();
    }
}

/// Tells every request that ends in the descriptors from position `first` on.
#[inline]
fn tell_all(first: u64, room: &[Request], tell: &mut impl FnMut(Completed)) {
    let mut cookie = first;
    for request in room {
        cookie = cookie.wrapping_add(1);
        if request.status != STATUS_PENDING {
            tell(Completed { cookie, context: request.context, status: request.status });
        }
    }
}

/// Counts what ends in a room, under the lock and before a client hears of it: who was told of a request finds it counted.
#[inline]
pub(crate) fn count(room: &[Request], statistics: &mut Statistics) {
    let (mut bytes, mut others) = (0_u64, 0_u64);
    for request in room {
        if request.status == STATUS_SUCCESS {
            bytes = bytes.wrapping_add(request.bytes.into());
            continue;
        }
        // Neither a failure nor the middle of a request is completed.
        others = others.wrapping_add(1);
        match request.status {
            STATUS_PENDING => {}
            STATUS_REQUEST_ABORTED => statistics.aborted = statistics.aborted.wrapping_add(1),
            _ => statistics.failed = statistics.failed.wrapping_add(1),
        }
    }
    let completed = (room.len() as u64).wrapping_sub(others);
    statistics.completed = statistics.completed.wrapping_add(completed);
    statistics.bytes = statistics.bytes.wrapping_add(bytes);
}
