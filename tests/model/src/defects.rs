//! Seeded mistakes: what a model written carelessly would do.
//!
//! They exist to judge the judges. A test, or a driver of others, that does not notice a mistake proves nothing
//! about its absence; so each mistake names the test that must fail with it (`tests/model/tests/engine/mutation.rs`
//! sees to that), and some meet drivers in a virtual machine as well (`tests/vm`). docs/evidence.md has the table.

use std::fmt;

/// Declares the mistakes, each with its name in fault plans and the test that catches it: none can be without.
macro_rules! defects {
    ($($(#[doc = $what:literal])+ $defect:ident, $name:literal, caught by $test:literal;)+) => {
        /// One mistake.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Defect {
            $($(#[doc = $what])+ $defect,)+
        }

        impl Defect {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$defect),+];

            /// The name that fault plans use.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$defect => $name,)+
                }
            }

            /// What the engine does wrong, as a sentence.
            pub fn what(self) -> &'static str {
                match self {
                    $(Self::$defect => concat!($($what),+).trim_ascii(),)+
                }
            }

            /// The test of this crate's `engine` program that fails when an engine makes this mistake.
            pub fn caught_by(self) -> &'static str {
                match self {
                    $(Self::$defect => $test,)+
                }
            }
        }
    };
}

defects! {
    /// CHANSTS stays 3 when CHAINADDR is written.
    NotArmed, "not-armed", caught by "states::chain_address_arms_a_channel_in_every_resting_state";
    /// CHANSTS reads 0 after a reset.
    ActiveAfterReset, "active-after-reset",
        caught by "states::power_on_and_reset_leave_a_halted_channel_with_cleared_registers";
    /// CHANCMD reads back the last command.
    CommandReadsBack, "command-reads-back",
        caught by "states::power_on_and_reset_leave_a_halted_channel_with_cleared_registers";
    /// CHANERR is plain storage: writing back what was read leaves it.
    ErrorIsStorage, "error-is-storage",
        caught by "registers::error_registers_clear_by_ones_and_independently";
    /// The last announced descriptor is not run.
    CountOffByOne, "count-off-by-one", caught by "states::a_window_of_65535_is_one_doorbell";
    /// The next pointer is read together with the descriptor.
    NextReadEarly, "next-read-early",
        caught by "states::next_pointer_is_read_only_when_another_descriptor_is_announced";
    /// The completion word carries the next descriptor's address.
    WordOfNext, "word-of-next", caught by "completion::only_descriptors_that_ask_for_it_write_the_word";
    /// A halt reports the failing descriptor as done.
    HaltReportsFailed, "halt-reports-failed", caught by "completion::an_error_reports_the_last_success";
    /// The completed address survives CHAINADDR and reset.
    StaleAddress, "stale-address", caught by "states::chain_address_arms_a_channel_in_every_resting_state";
    /// A request between an interrupt and its re-arm is forgotten.
    LostLatch, "lost-latch",
        caught by "interrupts::a_request_before_the_rearm_is_latched_and_comes_with_it";
    /// The interrupt disable bit is never set: one message per request.
    NoInterruptDisable, "no-interrupt-disable",
        caught by "interrupts::a_request_before_the_rearm_is_latched_and_comes_with_it";
    /// The interrupt comes before the completion word.
    InterruptBeforeWord, "interrupt-before-word",
        caught by "completion::the_word_is_one_store_after_the_data_and_before_the_interrupt";
    /// The last byte of a copy is missing.
    ShortCopy, "short-copy",
        caught by "copies::copies_of_every_length_and_alignment_move_their_bytes_and_no_others";
    /// The pattern of a fill is aligned to the address instead of the start.
    FillByAddress, "fill-by-address",
        caught by "copies::fills_repeat_the_pattern_from_the_start_of_the_destination";
    /// Page breaks are ignored.
    NoPageBreak, "no-page-break", caught by "copies::page_breaks_continue_at_the_second_page";
    /// Reading INTRCTRL does not clear the master enable.
    EnableStays, "enable-stays",
        caught by "registers::reading_intrctrl_returns_the_enable_and_clears_it";
}

impl Defect {
    /// The defect of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|defect| defect.name() == name)
    }
}

/// Its name.
impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
