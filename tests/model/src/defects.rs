//! Seeded mistakes: what a model written carelessly would do.
//!
//! They exist to judge the judges. A test, or a driver of others, that does not notice a mistake proves nothing
//! about its absence; so each mistake is tied to a named test that must fail with it (tests/model/tests/mutation.rs),
//! and some to drivers in a virtual machine (tests/vm).

use std::fmt;

/// One mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Defect {
    /// CHANSTS stays 3 when CHAINADDR is written.
    NotArmed,
    /// CHANSTS reads 0 after a reset.
    ActiveAfterReset,
    /// CHANCMD reads back the last command.
    CommandReadsBack,
    /// CHANERR is plain storage: writing back what was read leaves it.
    ErrorIsStorage,
    /// The last announced descriptor is not run.
    CountOffByOne,
    /// The next pointer is read together with the descriptor.
    NextReadEarly,
    /// The completion word carries the next descriptor's address.
    WordOfNext,
    /// A halt reports the failing descriptor as done.
    HaltReportsFailed,
    /// The completed address survives CHAINADDR and reset.
    StaleAddress,
    /// A request between an interrupt and its re-arm is forgotten.
    LostLatch,
    /// The interrupt disable bit is never set: one message per request.
    NoInterruptDisable,
    /// The interrupt comes before the completion word.
    InterruptBeforeWord,
    /// The last byte of a copy is missing.
    ShortCopy,
    /// The pattern of a fill is aligned to the address instead of the start.
    FillByAddress,
    /// Page breaks are ignored.
    NoPageBreak,
    /// Reading INTRCTRL does not clear the master enable.
    EnableStays,
}

impl Defect {
    /// All of them with the names that fault plans use.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::NotArmed, "not-armed"),
        (Self::ActiveAfterReset, "active-after-reset"),
        (Self::CommandReadsBack, "command-reads-back"),
        (Self::ErrorIsStorage, "error-is-storage"),
        (Self::CountOffByOne, "count-off-by-one"),
        (Self::NextReadEarly, "next-read-early"),
        (Self::WordOfNext, "word-of-next"),
        (Self::HaltReportsFailed, "halt-reports-failed"),
        (Self::StaleAddress, "stale-address"),
        (Self::LostLatch, "lost-latch"),
        (Self::NoInterruptDisable, "no-interrupt-disable"),
        (Self::InterruptBeforeWord, "interrupt-before-word"),
        (Self::ShortCopy, "short-copy"),
        (Self::FillByAddress, "fill-by-address"),
        (Self::NoPageBreak, "no-page-break"),
        (Self::EnableStays, "enable-stays"),
    ];

    /// The defect of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|&&(_, known)| known == name).map(|&(defect, _)| defect)
    }
}

/// Its name.
impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|&&(defect, _)| defect == *self).map_or("", |&(_, name)| name);
        f.write_str(name)
    }
}
