//! Counters.
//!
//! The counters are those of `NetDmaQueryStatistics` (netdma.md 5.4).

use netdma_abi::client::Statistics;

/// Adds the counters of `part` to `total`.
pub fn accumulate(total: &mut Statistics, part: &Statistics) {
    total.channels = total.channels.wrapping_add(part.channels);
    let pairs = [
        (&mut total.bytes, part.bytes),
        (&mut total.descriptors, part.descriptors),
        (&mut total.batches, part.batches),
        (&mut total.starts, part.starts),
        (&mut total.appends, part.appends),
        (&mut total.submitted, part.submitted),
        (&mut total.completed, part.completed),
        (&mut total.aborted, part.aborted),
        (&mut total.failed, part.failed),
        (&mut total.interrupts, part.interrupts),
        (&mut total.dpcs, part.dpcs),
        (&mut total.polls, part.polls),
        (&mut total.halts, part.halts),
        (&mut total.ring_full, part.ring_full),
        (&mut total.provider_failures, part.provider_failures),
        (&mut total.foreign_addresses, part.foreign_addresses),
    ];
    for (sum, add) in pairs {
        *sum = sum.wrapping_add(add);
    }
}
