//! What decides a ring's future, for a search that has to know a state again.
//!
//! Every field is named, so that a new one has to be placed here before `tests/exhaustive` compiles.

use netdma_abi::status::STATUS_PENDING;

use alloc::vec::Vec;

use super::Ring;
use crate::memory::RingMemory;

impl<M: RingMemory> Ring<M> {
    /// Adds the ring's state to `state`, such that two rings of equal states do the same from here on.
    ///
    /// Positions count modulo the ring's size. Left out is what is never read again (descriptors done or not built, their
    /// links excepted) and what the core only passes on: contexts, bytes, and the addresses of data. The search holds these
    /// against what was accepted, in every state.
    pub fn snapshot(&self, state: &mut Vec<u64>) {
        let Self { memory, mask, done, posted, built, told } = self;
        state.extend([
            told & mask,
            done.wrapping_sub(*told),
            posted.wrapping_sub(*told),
            built.wrapping_sub(*told),
            memory.completion_word().load(crate::sync::Ordering::Relaxed),
        ]);
        for at in 0..self.size() {
            let Some(slot) = self.slot(at) else { continue };
            let position = told.wrapping_add(at.wrapping_sub(*told) & mask);
            let [size_and_flags, _, _, link, ..] = slot.words();
            state.push(link);
            if position < *built {
                let request = memory.requests().get(at as usize).map(|request| request.status);
                state.push(request.unwrap_or(STATUS_PENDING) as u64);
            }
            if (*done..*built).contains(&position) {
                state.push(size_and_flags);
            }
        }
    }
}
