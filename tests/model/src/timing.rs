//! Time and disorder, as parameters.
//!
//! The text form is a list of `key=value`, separated by commas:
//!
//! ```
//! let timing: ioat_model::Timing = "start-delay=30000,jitter=500,fine=1,seed=7".parse()?;
//! assert_eq!(timing.start_delay, 30_000);
//! # Ok::<(), String>(())
//! ```

use std::str::FromStr;

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

impl FromStr for Timing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut timing = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let (key, value) = word.split_once('=').ok_or_else(|| format!("`{word}`: write key=value"))?;
            let number = value.parse::<u64>().map_err(|_| format!("{key}={value}: not a number"))?;
            let field = match key {
                "start-delay" => &mut timing.start_delay,
                "per-descriptor" => &mut timing.per_descriptor,
                "per-byte" => &mut timing.per_byte,
                "completion-lag" => &mut timing.completion_lag,
                "interrupt-lag" => &mut timing.interrupt_lag,
                "suspend" => &mut timing.suspend,
                "reset" => &mut timing.reset,
                "jitter" => &mut timing.jitter,
                "seed" => &mut timing.seed,
                "fine" => {
                    timing.fine = number != 0;
                    continue;
                }
                _ => return Err(format!("there is no timing `{key}`; there are {}", Self::KEYS.join(", "))),
            };
            *field = number;
        }
        Ok(timing)
    }
}

impl Timing {
    /// Every key of the text form.
    pub const KEYS: [&'static str; 10] = [
        "start-delay",
        "per-descriptor",
        "per-byte",
        "completion-lag",
        "interrupt-lag",
        "suspend",
        "reset",
        "jitter",
        "fine",
        "seed",
    ];
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
