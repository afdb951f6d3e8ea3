//! Interrupts: whose they are, what they report, how they are re-armed.
#![forbid(unsafe_code)]

mod script;

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use ioat_core::service::{InterruptKind, claim_shared, set_delay, set_interrupts};
use ioat_core::{Report, State};
use ioat_regs::{ChanSts, State as Sts};
use netdma_abi::completion::ARMED;
use proof::proves;
use script::*;

#[test]
fn a_normal_completion_costs_one_register_write() {
    let mut channel = running(BDX);
    let word = AtomicU64::new((RING + 0x40) | Sts::Active as u64);
    let script = Script::new([W16(CHANCTRL, 0x1D)]);
    script.at_dispatch(|hardware| {
        proves!(crate: H22, H29, R203;
            assert_eq!(channel.service(hardware, &word), Report::Completed(RING + 0x40));
            assert_eq!(channel.rearm(hardware, &word), Report::Nothing));
    });
}

#[test]
fn what_completes_before_the_rearm_is_not_left_lying() {
    let mut channel = running(BDX);
    let word = AtomicU64::new(RING);
    let script = Script::new([W16(CHANCTRL, 0x1D)]);
    script.at_dispatch(|hardware| {
        assert_eq!(channel.service(hardware, &word), Report::Completed(RING));
        word.store((RING + 0x80) | Sts::Idle as u64, Ordering::Relaxed);
        proves!(crate: H29; assert_eq!(channel.rearm(hardware, &word), Report::Completed(RING + 0x80)));
    });
}

#[test]
fn an_interrupt_without_a_new_word_asks_the_engine() {
    let mut channel = running(BDX);
    let word = AtomicU64::new(ARMED);
    let script = Script::new(status(BDX, RING + 0x40, Sts::Active));
    script.at_dispatch(|hardware| {
        proves!(crate: R203, R278; assert_eq!(channel.service(hardware, &word), Report::Completed(RING + 0x40)));
    });
}

#[test]
fn the_interrupt_that_was_latched_during_a_report_costs_no_read() {
    let mut channel = running(BDX);
    let word = AtomicU64::new(RING + 0x40);
    let script = Script::new(steps([
        vec![W16(CHANCTRL, 0x1D), W16(CHANCTRL, 0x1D)],
        status(BDX, RING + 0x80, Sts::Idle),
    ]));
    script.at_dispatch(|hardware| {
        assert_eq!(channel.service(hardware, &word), Report::Completed(RING + 0x40));
        assert_eq!(channel.rearm(hardware, &word), Report::Nothing);
        assert_eq!(channel.service(hardware, &word), Report::Nothing, "latched: no read");
        assert_eq!(channel.rearm(hardware, &word), Report::Nothing);
        assert_eq!(
            channel.service(hardware, &word),
            Report::Completed(RING + 0x80),
            "the next one is asked about"
        );
    });
}

#[test]
fn the_watchdog_reads_nothing_while_there_is_progress() {
    let mut channel = running(BDX);
    let word = AtomicU64::new(ARMED);
    Script::new([]).at_dispatch(|hardware| {
        for slot in 0..5 {
            assert_eq!(channel.watch(hardware, &word), Report::Nothing);
            word.store(RING + slot * 0x40, Ordering::Relaxed);
            assert_eq!(
                channel.watch(hardware, &word),
                Report::Completed(RING + slot * 0x40),
                "a lost interrupt"
            );
        }
    });
}

#[test]
fn the_watchdog_finds_a_lost_completion_word_and_then_lets_the_channel_rest() {
    let mut channel = running(BDX);
    let word = AtomicU64::new(ARMED);
    let script = Script::new(status(BDX, RING + 0x80, Sts::Idle));
    script.at_dispatch(|hardware| {
        assert_eq!(channel.watch(hardware, &word), Report::Nothing);
        proves!(crate: H31, H44; assert_eq!(channel.watch(hardware, &word), Report::Completed(RING + 0x80)));
        assert_eq!(channel.watch(hardware, &word), Report::Nothing, "everything is done: no further read");
    });
    let written = ChanSts(word.load(Ordering::Relaxed));
    assert_eq!(
        (written.address(), written.state()),
        (RING + 0x80, Some(Sts::Idle)),
        "the interface believes the word only"
    );
}

#[test]
fn a_word_that_the_engine_writes_while_it_is_asked_is_not_written_over() {
    let mut channel = running(BDX);
    let word = Rc::new(AtomicU64::new(ARMED));
    let newer = (RING + 0xC0) | Sts::Idle as u64;
    let script = Script::new(status(BDX, RING + 0x80, Sts::Idle));
    script.at_dispatch(|hardware| {
        assert_eq!(channel.watch(hardware, &word), Report::Nothing);
        let engine = word.clone();
        script.meanwhile(move || engine.store(newer, Ordering::Release));
        assert_eq!(channel.watch(hardware, &word), Report::Completed(RING + 0x80), "as CHANSTS says");
        assert_eq!(word.load(Ordering::Relaxed), newer, "the engine's word stays");
        assert_eq!(channel.watch(hardware, &word), Report::Completed(RING + 0xC0));
    });
}

#[test]
fn the_watchdog_leaves_the_word_of_a_busy_engine_to_the_engine() {
    let mut channel = running(BDX);
    let word = AtomicU64::new(ARMED);
    let script = Script::new(status(BDX, RING + 0x80, Sts::Active));
    script.at_dispatch(|hardware| {
        assert_eq!(channel.watch(hardware, &word), Report::Nothing);
        assert_eq!(channel.watch(hardware, &word), Report::Completed(RING + 0x80));
    });
    assert_eq!(word.load(Ordering::Relaxed), ARMED);
}

#[test]
fn a_word_is_made_good_even_after_the_busy_engine_had_told_of_its_address() {
    let mut channel = running(BDX);
    let word = AtomicU64::new(ARMED);
    let script =
        Script::new(steps([status(BDX, RING + 0x80, Sts::Active), status(BDX, RING + 0x80, Sts::Idle)]));
    script.at_dispatch(|hardware| {
        assert_eq!(channel.watch(hardware, &word), Report::Nothing);
        assert_eq!(channel.watch(hardware, &word), Report::Completed(RING + 0x80));
        proves!(crate: H31; assert_eq!(channel.watch(hardware, &word), Report::Completed(RING + 0x80)));
    });
    assert_eq!(ChanSts(word.load(Ordering::Relaxed)).address(), RING + 0x80);
}

#[test]
fn the_watchdog_finds_a_silent_halt() {
    let mut channel = running(BDX);
    let word = AtomicU64::new(RING);
    let mut expected = status(BDX, RING, Sts::Active);
    expected.extend(status(BDX, RING, Sts::Halted));
    expected.push(R32(CHANERR, 0x80));
    let script = Script::new(expected);
    script.at_dispatch(|hardware| {
        assert_eq!(channel.watch(hardware, &word), Report::Completed(RING));
        assert_eq!(channel.watch(hardware, &word), Report::Nothing);
        assert_eq!(channel.watch(hardware, &word), Report::Nothing, "a long copy is left alone");
        proves!(crate: H31, H33; assert_eq!(channel.watch(hardware, &word), Report::Stopped));
    });
    assert_eq!((word.load(Ordering::Relaxed), channel.last_error().0), (RING | 3, 0x80));
}

#[test]
fn the_watchdog_leaves_a_channel_alone_that_is_not_running() {
    let mut channel = ready(BDX);
    let word = AtomicU64::new(ARMED);
    Script::new([]).at_dispatch(|hardware| {
        assert_eq!(channel.watch(hardware, &word), Report::Nothing);
        assert_eq!(channel.watch(hardware, &word), Report::Nothing);
    });
}

#[test]
fn a_halt_in_the_word_is_reported_once_with_its_reason() {
    let mut channel = running(BDX);
    let word = AtomicU64::new(RING | Sts::Halted as u64);
    let script = Script::new([R32(CHANERR, 0x200), W16(CHANCTRL, 0x1D)]);
    script.at_dispatch(|hardware| {
        proves!(crate: H33, R147, R204; assert_eq!(channel.service(hardware, &word), Report::Stopped));
        assert_eq!((channel.state(), channel.last_error().0), (State::Faulted, 0x200));
        assert_eq!(channel.service(hardware, &word), Report::Nothing);
        assert_eq!(channel.rearm(hardware, &word), Report::Nothing);
    });
}

#[test]
fn a_halt_that_only_chansts_shows_is_written_to_the_word() {
    let mut channel = running(BDX);
    let word = AtomicU64::new(ARMED);
    let mut expected = status(BDX, RING + 0x40, Sts::Halted);
    expected.push(R32(CHANERR, 1));
    let script = Script::new(expected);
    script.at_dispatch(|hardware| {
        proves!(crate: H33; assert_eq!(channel.service(hardware, &word), Report::Stopped));
    });
    assert_eq!(word.load(Ordering::Relaxed), (RING + 0x40) | 3);
}

#[test]
fn a_word_of_nonsense_is_passed_on_as_an_address_and_nothing_more() {
    let mut channel = running(BDX);
    let word = AtomicU64::new(0xDEAD_BEEF_0000_0001);
    Script::new([]).at_dispatch(|hardware| {
        assert_eq!(channel.service(hardware, &word), Report::Completed(0xDEAD_BEEF_0000_0000));
    });
}

#[test]
fn an_interrupt_of_a_channel_that_was_never_started_reports_nothing() {
    let mut channel = ready(BDX);
    let word = AtomicU64::new(ARMED);
    Script::new([]).at_dispatch(|hardware| {
        assert_eq!(channel.service(hardware, &word), Report::Nothing);
    });
}

#[test]
fn the_function_is_told_how_to_interrupt() {
    for (kind, value) in
        [(InterruptKind::PerChannel, 0x09), (InterruptKind::Shared, 0x01), (InterruptKind::None, 0x00)]
    {
        let script = Script::new([W8(0x03, value)]);
        proves!(crate: H18; set_interrupts(&script, kind));
        script.finish();
    }
}

#[test]
fn a_shared_interrupt_is_claimed_by_reading_and_writing_back() {
    let script = Script::new([R8(0x03, 0x07), R32(0x04, 0b101), W8(0x03, 0x07)]);
    proves!(crate: H30; assert_eq!(claim_shared(&script), Some(0b101)));
    script.finish();
}

#[test]
fn a_shared_interrupt_of_somebody_else_is_not_claimed() {
    let nothing_pending = Script::new([R8(0x03, 0x01), W8(0x03, 0x01)]);
    let not_enabled = Script::new([R8(0x03, 0x00)]);
    let gone = Script::new([R8(0x03, 0xFF)]);
    for script in [nothing_pending, not_enabled, gone] {
        proves!(crate: H30, H36; assert_eq!(claim_shared(&script), None));
        script.finish();
    }
}

#[test]
fn an_interrupt_delay_is_set_where_the_engine_has_one_and_read_back() {
    const INTRDELAY: u32 = 0x0C;
    let script =
        Script::new([R16(INTRDELAY, 0x8000), W16(INTRDELAY, 0x8000 | 100), R16(INTRDELAY, 0x8000 | 100)]);
    proves!(crate: H32; assert_eq!(set_delay(&script, 100), 100));
    script.finish();
    let unsupported = Script::new([R16(INTRDELAY, 0)]);
    proves!(crate: H32; assert_eq!(set_delay(&unsupported, 100), 0));
    unsupported.finish();
    let already = Script::new([R16(INTRDELAY, 0x8000 | 100)]);
    assert_eq!(set_delay(&already, 100), 100);
    already.finish();
    let left = Script::new([R16(INTRDELAY, 0xFFFF)]);
    assert_eq!(set_delay(&left, 0), 0);
    left.finish();
}

#[test]
fn an_interrupt_that_was_let_pass_is_asked_about_at_the_watchdogs_next_look() {
    let mut channel = running(BDX);
    let word = AtomicU64::new(RING);
    let script = Script::new(steps([vec![W16(CHANCTRL, 0x1D)], status(BDX, RING + 0x40, Sts::Idle)]));
    script.at_dispatch(|hardware| {
        assert_eq!(channel.service(hardware, &word), Report::Completed(RING));
        assert_eq!(channel.rearm(hardware, &word), Report::Nothing);
        assert_eq!(channel.service(hardware, &word), Report::Nothing, "of a descriptor without a word");
        proves!(crate: H31; assert_eq!(channel.watch(hardware, &word), Report::Completed(RING + 0x40)));
    });
}
