//! What the channels of one function share.

use crate::{
    defects::Defect,
    faults::{Fault, FaultPlan},
    interrupts::Interrupts,
    operation::Offer,
    operation::PIECE,
    options::Options,
    space::ConfigSpace,
    timing::Dice,
    timing::Timing,
};

/// Everything of the function but its channels.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) offer: Offer,
    pub(crate) space: ConfigSpace,
    pub(crate) interrupts: Interrupts,
    pub(crate) counts: Counts,
    pub(crate) dice: Dice,
    /// Data on its way from source to destination.
    pub(crate) buffer: Box<[u8; PIECE]>,
    /// Nothing takes time and nothing goes wrong: neither has to be looked for at each descriptor.
    pub(crate) plain: bool,
}

/// Things counted over all channels, as fault plans number them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) accesses: u64,
    pub(crate) descriptors: u64,
    pub(crate) copies: u64,
    pub(crate) completions: u64,
    pub(crate) interrupts: u64,
    pub(crate) resets: u64,
    pub(crate) suspends: u64,
    pub(crate) faults: u64,
}

fn is_plain(options: &Options) -> bool {
    options.faults.faults.is_empty() && options.timing == Timing::default()
}

impl Shared {
    pub(crate) fn new(options: Options, vectors: u8) -> Self {
        Self {
            offer: Offer::of(&options),
            space: ConfigSpace::new(&options),
            interrupts: Interrupts::new(vectors, options.coalescing),
            counts: Counts::default(),
            dice: Dice::new(options.timing.seed),
            buffer: Box::new([0; PIECE]),
            plain: is_plain(&options),
            options,
        }
    }

    /// Another fault plan, whose things are counted from now on.
    pub(crate) fn set_faults(&mut self, faults: FaultPlan) {
        self.options.faults = faults;
        self.offer = Offer::of(&self.options);
        self.plain = is_plain(&self.options);
        self.counts = Counts { faults: self.counts.faults, ..Counts::default() };
    }

    /// Whether the engine has this mistake.
    #[inline]
    pub(crate) fn has(&self, defect: Defect) -> bool {
        !self.plain && self.options.faults.has(defect)
    }

    /// The first fault for which `strikes` answers, counted as one that has struck.
    pub(crate) fn fault<T>(&mut self, strikes: impl FnMut(&Fault) -> Option<T>) -> Option<T> {
        let found = self.options.faults.find(strikes);
        self.counts.faults += u64::from(found.is_some());
        found
    }

    /// `time` with the jitter asked for.
    pub(crate) fn delay(&mut self, time: u64) -> u64 {
        time.saturating_add(self.dice.below(self.options.timing.jitter))
    }
}
