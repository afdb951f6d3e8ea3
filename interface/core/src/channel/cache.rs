//! Direct cache access: whose cache the engine hints at (C30, Q28), told by a descriptor that no client hears of.

use netdma_abi::descriptor::{DCA_CONTEXT_CHANGE, DESTINATION_DCA_ENABLE, OP_TYPE_CONTEXT_CHANGE};

use super::{Channel, ChannelState};
use crate::memory::{Operation, RingMemory};
use crate::provider::EntryPoints;

impl<M: RingMemory> Channel<M> {
    /// Tells the engine whose cache to hint at, as soon as something can be posted (R184, R241, R280). Until then copies
    /// ask for no hints.
    #[cold]
    pub(super) fn send_context(&mut self, provider: &impl EntryPoints) {
        if !self.takes_context() {
            return;
        }
        // What waits goes first, in a list of its own: a change of context at the end of a list cannot ask for an interrupt.
        self.post(provider);
        if self.ring.pending() == 0 && self.build_context() {
            self.post(provider);
        }
    }

    /// Whether a change of context could be posted.
    pub(super) fn takes_context(&self) -> bool {
        let waits = matches!(self.state, ChannelState::Suspended | ChannelState::Stopping);
        self.open && !waits && self.control.is_none()
    }

    /// Builds the change of context that is due; `false`: none is, or there is no room.
    pub(super) fn build_context(&mut self) -> bool {
        let Some(target) = self.setup.cache.filter(|_| self.context_due) else { return false };
        let built = self.build_silent(|_| context_operation(target));
        self.context_due = !built;
        built
    }

    /// The flags a client's copy may have now: hints only while the engine knows whose cache (C30, Q28).
    #[must_use]
    pub fn hinted(&self, flags: u32) -> u32 {
        let known = self.setup.cache.is_some() && !self.context_due;
        if known { flags } else { flags & !DESTINATION_DCA_ENABLE }
    }

    /// The engine's context is gone, or never came to it: copies that wait to be posted go without hints.
    pub(super) fn withdraw_hints(&mut self) {
        if self.setup.cache.is_none() {
            return;
        }
        self.context_due = true;
        let mut position = self.ring.posted();
        while position != self.ring.built() {
            if let Some(slot) = self.ring.slot(position) {
                slot.clear_flags(DESTINATION_DCA_ENABLE);
            }
            position = position.wrapping_add(1);
        }
    }
}

/// A descriptor that moves nothing and names the processor whose cache later copies hint at (C30).
fn context_operation(target: u8) -> Operation {
    let flags = OP_TYPE_CONTEXT_CHANGE | DCA_CONTEXT_CHANGE;
    Operation { size: target.into(), flags, source: 0, destination: 0, next_source: 0, next_destination: 0 }
}
