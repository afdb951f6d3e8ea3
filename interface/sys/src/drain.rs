//! Waiting for outstanding work (R72, R219, R263), with a limit (D22): a channel on which nothing moves for the limit is
//! aborted or reset, and what was left ends as aborted.

use core::sync::atomic::{AtomicU32, Ordering};

use netdma_abi::nt_success;
use netdma_abi::status::STATUS_REQUEST_ABORTED;
use netdma_core::channel::{ChannelState, Control};
use netdma_core::handle::Handle;
use nt::irql::Passive;
use nt::thread;
use nt::time::{Duration, Instant};

use crate::channel::Slot;
use crate::gate::PAUSE;

/// Milliseconds without progress; registry value `DrainLimitMilliseconds` of the service's Parameters key.
static LIMIT: AtomicU32 = AtomicU32::new(2000);

/// The settings's least and largest value. Ours: below, a slow engine is cut off; above, Windows gives up first (0x9F).
const LEAST_LIMIT: u32 = 100;
const LARGEST_LIMIT: u32 = 60_000;

/// Takes the limit from the registry. `false`: out of range, nothing changed.
pub fn set_limit(milliseconds: u32) -> bool {
    let legal = (LEAST_LIMIT..=LARGEST_LIMIT).contains(&milliseconds);
    if legal {
        LIMIT.store(milliseconds, Ordering::Relaxed);
    }
    legal
}

/// Waits until a closed channel is quiet. Answers how many descriptors had to be cut off.
pub fn drain(handle: Handle, slot: &Slot, irql: &mut Passive) -> u64 {
    let limit = Duration::from_millis(LIMIT.load(Ordering::Relaxed).into());
    let mut cut = 0;
    let mut last_done = None;
    let mut since = Instant::now();
    let mut expired = 0u32;
    while let Some(standing) = slot.push(handle, irql) {
        if standing.quiet {
            break;
        }
        if standing.state == ChannelState::Suspended {
            // It would wait for ever otherwise (R285).
            slot.control(handle, Control::Resume, false, irql);
        }
        if last_done != Some(standing.done) {
            last_done = Some(standing.done);
            since = Instant::now();
        } else if since.elapsed() > limit {
            if cut == 0 {
                cut = standing.unfinished;
                slot.report_cut(handle, cut, irql);
            }
            force(handle, slot, expired, irql);
            expired = expired.wrapping_add(1);
            since = Instant::now();
        }
        thread::sleep(PAUSE, irql);
    }
    cut
}

/// The harder way: abort, else reset. If the provider can do neither, once more the limit, then the channel is given up:
/// its provider is about to take it back and has nothing to say about it.
fn force(handle: Handle, slot: &Slot, expired: u32, irql: &mut Passive) {
    let ending = STATUS_REQUEST_ABORTED;
    if nt_success(slot.control(handle, Control::Abort(ending), false, irql))
        || nt_success(slot.control(handle, Control::Reset(ending), false, irql))
    {
        return;
    }
    if expired > 0 {
        slot.visit_from(handle, irql, |channel, _| channel.give_up(ending));
    }
}
