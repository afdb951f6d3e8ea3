//! Time and disorder, as parameters.

/// How long things take and in what order they happen. The default is an engine without delays whose channels
/// take turns.
///
/// Times are nanoseconds of [`Host::now`](crate::Host::now) unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timing {
    /// From the first doorbell after CHAINADDR to the first fetch (M61).
    pub start_delay: u64,
    /// For each descriptor, before it is executed.
    pub per_descriptor: u64,
    /// For each byte moved, in **pico**seconds.
    pub per_byte: u64,
    /// From the end of a descriptor to its completion word; the engine goes on meanwhile.
    pub completion_lag: u64,
    /// From the cause of an interrupt to the interrupt. Never delays a completion word (M52).
    pub interrupt_lag: u64,
    /// From a suspend command to its end, beyond the descriptors in flight.
    pub suspend: u64,
    /// From a reset command to its end.
    pub reset: u64,
    /// Each of the above grows by a random time below this.
    pub jitter: u64,
    /// A step does one phase of a descriptor (fetch, a piece of data, completion, message) instead of a whole one,
    /// so that software can look in between.
    pub fine: bool,
    /// Channels are picked at random instead of in turn; zero picks in turn. The same seed gives the same run.
    pub seed: u64,
}

/// A small generator of reproducible disorder (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `limit`; zero when `limit` is zero.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        if limit == 0 {
            return 0;
        }
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (value ^ (value >> 31)) % limit
    }
}
