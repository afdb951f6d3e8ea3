//! Judges the tests themselves: each seeded defect must make the test named for it fail.
//!
//! The test binary runs itself once more for each defect, with the defect named in the environment; every engine of
//! that run has it ([`DEFECT`] is read by the bench).

use std::{
    collections::HashSet,
    env,
    process::{Command, Stdio},
};

use ioat_model::Defect;

/// Names the defect that every engine of the run gets.
pub const DEFECT: &str = "IOAT_MODEL_DEFECT";

const CAUGHT_BY: &[(Defect, &str)] = &[
    (Defect::NotArmed, "states::chain_address_arms_a_channel_in_every_resting_state"),
    (Defect::ActiveAfterReset, "states::power_on_and_reset_leave_a_halted_channel_with_cleared_registers"),
    (Defect::CommandReadsBack, "states::power_on_and_reset_leave_a_halted_channel_with_cleared_registers"),
    (Defect::ErrorIsStorage, "registers::error_registers_clear_by_ones_and_independently"),
    (Defect::CountOffByOne, "states::a_window_of_65535_is_one_doorbell"),
    (Defect::NextReadEarly, "states::next_pointer_is_read_only_when_another_descriptor_is_announced"),
    (Defect::WordOfNext, "completion::only_descriptors_that_ask_for_it_write_the_word"),
    (Defect::HaltReportsFailed, "completion::an_error_reports_the_last_success"),
    (Defect::StaleAddress, "states::chain_address_arms_a_channel_in_every_resting_state"),
    (Defect::LostLatch, "interrupts::a_request_before_the_rearm_is_latched_and_comes_with_it"),
    (Defect::NoInterruptDisable, "interrupts::a_request_before_the_rearm_is_latched_and_comes_with_it"),
    (
        Defect::InterruptBeforeWord,
        "completion::the_word_is_one_store_after_the_data_and_before_the_interrupt",
    ),
    (Defect::ShortCopy, "copies::copies_of_every_length_and_alignment_move_their_bytes_and_no_others"),
    (Defect::FillByAddress, "copies::fills_repeat_the_pattern_from_the_start_of_the_destination"),
    (Defect::NoPageBreak, "copies::page_breaks_continue_at_the_second_page"),
    (Defect::EnableStays, "registers::reading_intrctrl_returns_the_enable_and_clears_it"),
];

/// Runs one test of this binary; the proofs it might record are not asked for.
fn passes(test: &str, defect: Option<Defect>) -> bool {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([test, "--exact"]).env_remove("NETDMA_PROOFS").env_remove(DEFECT);
    if let Some(defect) = defect {
        command.env(DEFECT, defect.to_string());
    }
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("running 1 test"), "there is no test {test}");
    output.status.success()
}

#[test]
fn every_seeded_defect_is_caught_by_the_test_named_for_it() {
    let listed: HashSet<String> = CAUGHT_BY.iter().map(|(defect, _)| defect.to_string()).collect();
    assert_eq!(listed.len(), Defect::ALL.len(), "each defect has its test");

    for (defect, test) in CAUGHT_BY {
        assert!(passes(test, None), "{test} fails without any defect");
        assert!(!passes(test, Some(*defect)), "{test} does not notice the defect {defect}");
    }
}
