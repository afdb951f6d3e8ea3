//! DPDK's dma/ioat driver and its own test suite, in a Linux guest.

use crate::scenario::Scenario;

/// Every scenario with DPDK.
pub fn scenarios() -> Vec<Scenario> {
    Vec::new()
}
