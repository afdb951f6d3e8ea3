//! Posting: what waits is handed to the provider in one call, and what happens when it does not take it.

use netdma_abi::completion;
use netdma_abi::descriptor::{INTERRUPT_ON_COMPLETION, STATUS_UPDATE_ON_COMPLETION};
use netdma_abi::status::{STATUS_IO_DEVICE_ERROR, STATUS_UNSUCCESSFUL};
use netdma_abi::{NtStatus, PhysicalAddress, nt_success};

use super::{Channel, ChannelState, NOWHERE};
use crate::memory::RingMemory;
use crate::provider::EntryPoints;
use crate::registration::Dialect;
use crate::sync::{Ordering, fence};

impl<M: RingMemory> Channel<M> {
    /// Hands everything pending to the provider in one call: a start if the engine needs one, else an append.
    ///
    /// Does nothing while the channel is suspended, stopping or under control, nor while a failed append waits for the
    /// engine to become quiet; whatever ends that state posts.
    #[inline]
    pub fn post(&mut self, provider: &impl EntryPoints) {
        if self.is_held() {
            return;
        }
        self.shut_window();
        let starting = self.state.needs_start() || self.restart;
        if starting {
            // The old list ended long ago, and its tail may be part of the new one.
            self.link_tail();
        }
        let Some((tail, address)) = self.ring.locate(self.ring.built().wrapping_sub(1)) else { return };
        let interrupt = if self.setup.polled { 0 } else { INTERRUPT_ON_COMPLETION };
        tail.add_flags(STATUS_UPDATE_ON_COMPLETION | interrupt);
        if self.dialect == Dialect::NullTerminated {
            tail.link(0);
        }
        if nt_success(self.call_provider(provider, starting)) {
            self.last = address;
            self.posted(starting);
        } else {
            self.try_again(provider, starting);
        }
    }

    /// Whether nothing can be posted: nothing waits, or something forbids it.
    #[inline]
    pub(super) fn is_held(&self) -> bool {
        self.control.is_some()
            || matches!(self.state, ChannelState::Suspended | ChannelState::Stopping)
            || self.restart && self.ring.outstanding() != 0
            || self.ring.pending() == 0
    }

    /// What Q10 says about failures: append, then start, then reset and start, then give up.
    #[cold]
    fn try_again(&mut self, provider: &impl EntryPoints, started: bool) {
        self.count_provider_failure();
        if !started {
            // An engine that refuses has perhaps halted unnoticed, and lost its context.
            self.withdraw_hints();
            self.unlink_tail();
            self.restart = true;
            if self.ring.outstanding() != 0 {
                // More may be built behind these before the start.
                self.relink_pending();
                return;
            }
            self.link_tail();
        }
        if self.start_again(provider) {
            return;
        }
        if provider.reset(self.setup.context).is_some_and(nt_success) {
            self.withdraw_hints();
            if self.start_again(provider) {
                return;
            }
        }
        self.relink_pending();
        self.end_everything(true, STATUS_IO_DEVICE_ERROR, ChannelState::Halted);
    }

    fn start_again(&mut self, provider: &impl EntryPoints) -> bool {
        let done = nt_success(self.call_provider(provider, true));
        if done {
            self.posted(true);
            self.last = self.ring.address(self.tail).unwrap_or(NOWHERE);
        } else {
            self.count_provider_failure();
        }
        done
    }

    pub(super) fn count_provider_failure(&mut self) {
        self.statistics.provider_failures = self.statistics.provider_failures.wrapping_add(1);
    }

    #[inline]
    fn call_provider(&mut self, provider: &impl EntryPoints, starting: bool) -> NtStatus {
        let first = self.ring.posted();
        let Some((slot, address)) = self.ring.locate(first) else { return STATUS_UNSUCCESSFUL };
        let (descriptor, address) = (slot.as_descriptor(), PhysicalAddress(address));
        // At most the ring's size, which is at most 65,536.
        let count = self.ring.pending() as u32;
        if starting {
            self.arm();
        } else {
            self.link_tail();
        }
        // Descriptors and links are in memory before the provider tells the engine of them.
        fence(Ordering::Release);
        if starting {
            provider.start(self.setup.context, descriptor, address, count)
        } else {
            provider.append(self.setup.context, descriptor, address, count)
        }
    }

    /// Before a start: the word names nothing (Q11, R161).
    pub(super) fn arm(&mut self) {
        self.seen = completion::ARMED;
        self.ring.memory().completion_word().store(completion::ARMED, Ordering::Relaxed);
    }

    #[inline]
    fn posted(&mut self, started: bool) {
        let statistics = &mut self.statistics;
        statistics.descriptors = statistics.descriptors.wrapping_add(self.ring.pending());
        if started {
            statistics.starts = statistics.starts.wrapping_add(1);
            self.state = ChannelState::Armed;
            self.restart = false;
            self.ending = None;
        } else {
            statistics.appends = statistics.appends.wrapping_add(1);
            if self.state == ChannelState::Idle {
                self.state = ChannelState::Active;
            }
        }
        self.ring.mark_posted();
        self.tail = self.ring.posted().wrapping_sub(1);
        self.waiting_requests = 0;
    }

    /// Below 2.0: the tail of the engine's list goes on at the next descriptor.
    #[inline]
    fn link_tail(&self) {
        if self.dialect == Dialect::NullTerminated {
            self.link_to_next(self.tail);
        }
    }

    /// Below 2.0: what was marked as the end of a list that the provider did not take is not the end any more.
    fn relink_pending(&self) {
        if self.dialect == Dialect::NullTerminated {
            self.link_to_next(self.ring.built().wrapping_sub(1));
        }
    }

    fn link_to_next(&self, position: u64) {
        if let (Some(slot), Some(next)) =
            (self.ring.slot(position), self.ring.address(position.wrapping_add(1)))
        {
            slot.link(next);
        }
    }

    /// Below 2.0: after a failed append the old tail ends its list again (spec 3.11).
    fn unlink_tail(&self) {
        if self.dialect == Dialect::NullTerminated
            && let Some(tail) = self.ring.slot(self.tail)
        {
            tail.link(0);
        }
    }
}
