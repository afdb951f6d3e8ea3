//! What decides a channel's future, for a search that has to know a state again.
//!
//! Every field is named, so that a new one has to be placed here before `tests/exhaustive` compiles.

use alloc::vec::Vec;

use super::{Channel, Control, Window};
use crate::memory::RingMemory;

impl<M: RingMemory> Channel<M> {
    /// The channel's state, such that two channels of equal setups and equal states do the same from here on. Positions
    /// count modulo the ring's size; the statistics are left out, since nothing is decided by them.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u64> {
        let Self {
            ring,
            setup: _,
            dialect: _,
            state,
            open,
            control,
            ending,
            restart,
            context_due,
            retired,
            limit,
            waiting_requests,
            window: Window { begin, end },
            plain_size: _,
            plain_begin: _,
            plain,
            delivering,
            tail,
            last,
            seen,
            statistics: _,
        } = self;
        let (control, control_status) = match control {
            None => (0, 0),
            Some(Control::Suspend) => (1, 0),
            Some(Control::Resume) => (2, 0),
            Some(Control::Abort(status)) => (3, *status),
            Some(Control::Reset(status)) => (4, *status),
        };
        let window = match end {
            0 => [u64::MAX; 2],
            _ => [ring.built().wrapping_sub(*begin), end.wrapping_sub(ring.built())],
        };
        let mut words = Vec::with_capacity(64);
        words.extend([
            *state as u64,
            u64::from(*open),
            control,
            control_status as u64,
            u64::from(ending.is_some()),
            ending.unwrap_or_default() as u64,
            u64::from(*restart),
            u64::from(*context_due),
            u64::from(*retired),
            u64::from(*limit),
            u64::from(*waiting_requests),
            u64::from(*plain),
            u64::from(*delivering),
            tail & ring.size().wrapping_sub(1),
            // Compared only while something is in flight.
            if ring.outstanding() == 0 { 0 } else { *last },
            *seen,
        ]);
        words.extend(window);
        ring.snapshot(&mut words);
        words
    }
}
