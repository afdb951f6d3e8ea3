//! The nine entry points' commands as register accesses, each at its exact width and in its exact order.
#![forbid(unsafe_code)]

mod script;

use std::sync::atomic::{AtomicU64, Ordering};

use ioat_core::state::{Answer, Command, answer};
use ioat_core::{Channel, Outcome, Refusal, Report, State};
use ioat_regs::State as Sts;
use netdma_abi::completion::ARMED;
use proof::proves;
use script::*;

const NEXT: u64 = RING + 0xC0;

fn armed() -> AtomicU64 {
    AtomicU64::new(ARMED)
}

#[test]
fn a_start_on_a_quiet_channel_is_three_writes_and_no_read() {
    let mut channel = ready(BDX);
    let script =
        Script::new([W32(CHAINADDR, 0x0000_0000), W32(CHAINADDR + 4, 0x0000_0001), W16(DMACOUNT, 3)]);
    let outcome = script.at_dispatch(|hardware| channel.start(hardware, &armed(), RING, 3));
    proves!(crate: H8, H20, R112, R125; assert_eq!(outcome, Ok(Outcome::Done)));
    assert_eq!((channel.state(), script.paused_us()), (State::Running, 0));
}

#[test]
fn a_start_from_3_3_on_is_two_writes() {
    let mut channel = ready(ICX);
    let script = Script::new([W64(CHAINADDR, RING), W16(DMACOUNT, 3)]);
    assert_eq!(script.at_dispatch(|hardware| channel.start(hardware, &armed(), RING, 3)), Ok(Outcome::Done));
}

#[test]
fn an_append_is_one_write_of_the_free_running_count() {
    let mut channel = running(BDX);
    let script = Script::new([W16(DMACOUNT, 5), W16(DMACOUNT, 4)]);
    script.at_dispatch(|hardware| {
        proves!(crate: R132, R138, R140;
            assert_eq!(channel.append(hardware, NEXT, 2), Ok(Outcome::Done)));
        // 65536 is a full turn of the counter: 5 + 65535 is 4.
        assert_eq!(channel.append(hardware, NEXT, 65535), Ok(Outcome::Done));
    });
}

#[test]
fn a_start_sets_the_count_anew() {
    let mut channel = running(BDX);
    let script = Script::new(steps([status(BDX, RING + 0x80, Sts::Idle), launch(BDX, NEXT, 1)]));
    script.at_dispatch(|hardware| channel.start(hardware, &armed(), NEXT, 1)).unwrap();
    let script = Script::new([W16(DMACOUNT, 3)]);
    script.at_dispatch(|hardware| {
        proves!(crate: R119; assert_eq!(channel.append(hardware, NEXT, 2), Ok(Outcome::Done)));
    });
}

#[test]
fn a_start_on_a_busy_channel_suspends_it_first() {
    let mut channel = running(BDX);
    let script = Script::new(steps([
        status(BDX, RING, Sts::Active),
        status(BDX, RING, Sts::Active),
        vec![W8(CHANCMD, SUSPEND)],
        status(BDX, RING, Sts::Active),
        status(BDX, RING + 0x40, Sts::Suspended),
        launch(BDX, NEXT, 2),
    ]));
    let outcome = script.at_dispatch(|hardware| channel.start(hardware, &armed(), NEXT, 2));
    proves!(crate: R112, R113, R114, R115; assert_eq!(outcome, Ok(Outcome::Done)));
}

#[test]
fn a_suspend_is_not_wasted_on_an_armed_engine() {
    let mut channel = running(BDX);
    let word = armed();
    let script = Script::new(steps([
        status(BDX, 0, Sts::Armed),
        status(BDX, 0, Sts::Armed),
        status(BDX, RING, Sts::Active),
        vec![W8(CHANCMD, SUSPEND)],
        status(BDX, RING + 0x40, Sts::Suspended),
    ]));
    let outcome = script.at_dispatch(|hardware| channel.suspend(hardware, &word));
    proves!(crate: R173, R175; assert_eq!(outcome, Ok(Outcome::Stopped(RING + 0x40))));
    proves!(crate: R148, R176; assert_eq!(word.load(Ordering::Relaxed), (RING + 0x40) | 2));
}

#[test]
fn resume_gives_the_resume_command_and_nothing_else() {
    let mut channel = running(BDX);
    let script = Script::new(steps([
        status(BDX, RING, Sts::Idle),
        vec![W8(CHANCMD, SUSPEND)],
        status(BDX, RING + 0x80, Sts::Suspended),
        vec![W8(CHANCMD, RESUME), W16(DMACOUNT, 4)],
    ]));
    script.at_dispatch(|hardware| {
        proves!(crate: R182; assert!(channel.suspend(hardware, &armed()).is_ok()));
        assert_eq!(channel.append(hardware, NEXT, 1), Err(Refusal::Suspended));
        assert_eq!(channel.resume(hardware), Ok(Outcome::Done));
        proves!(crate: R183; assert_eq!(channel.resume(hardware), Err(Refusal::NotSuspended)));
        assert_eq!(channel.append(hardware, NEXT, 1), Ok(Outcome::Done));
    });
}

#[test]
fn abort_reports_the_last_completed_descriptor_and_start_needs_no_reset_after_it() {
    let mut channel = running(BDX);
    let word = armed();
    let script = Script::new(steps([
        vec![W8(CHANCMD, ABORT)],
        status(BDX, RING + 0x40, Sts::Halted),
        vec![R32(CHANERR, 0)],
        launch(BDX, NEXT, 1),
    ]));
    script.at_dispatch(|hardware| {
        let outcome = channel.abort(hardware, &word);
        proves!(crate: R186, R187, R196;
            assert_eq!(outcome, Ok(Outcome::Stopped(RING + 0x40)));
            assert_eq!(word.load(Ordering::Relaxed), (RING + 0x40) | 3));
        assert_eq!(channel.append(hardware, NEXT, 1), Err(Refusal::NotStarted));
        proves!(crate: R188; assert_eq!(channel.start(hardware, &word, NEXT, 1), Ok(Outcome::Done)));
    });
}

#[test]
fn abort_before_anything_was_done_names_no_descriptor() {
    let mut channel = running(ICX);
    let word = armed();
    let script = Script::new([W8(CHANCMD, ABORT), R64(CHANSTS, 3), R32(CHANERR, 0)]);
    script.at_dispatch(|hardware| channel.abort(hardware, &word)).unwrap();
    assert_eq!(word.load(Ordering::Relaxed), 3);
}

#[test]
fn an_abort_that_finds_an_error_leaves_it_to_the_next_start() {
    let mut channel = running(ICX);
    let script = Script::new([
        W8(CHANCMD, ABORT),
        R64(CHANSTS, RING | 3),
        R32(CHANERR, 0x101),
        // the start
        R32(CHANERR, 0x101),
        W32(CHANERR, 0x101),
        W8(CHANCMD, RESET),
        R8(CHANCMD, RESET),
        R8(CHANCMD, 0),
        W16(CHANCTRL, 0x1D),
        W64(CHANCMP, WORD),
        W64(CHAINADDR, NEXT),
        W16(DMACOUNT, 1),
    ]);
    script.at_dispatch(|hardware| {
        assert!(channel.abort(hardware, &armed()).is_ok());
        assert_eq!((channel.state(), channel.last_error().0), (State::Faulted, 0x101));
        assert_eq!(channel.start(hardware, &armed(), NEXT, 1), Ok(Outcome::Done));
    });
}

#[test]
fn reset_programs_what_it_loses() {
    let mut channel = running(BDX);
    let word = armed();
    let script = Script::new(steps([
        vec![W8(CHANCMD, ABORT)],
        status(BDX, RING, Sts::Halted),
        vec![
            R32(CHANERR, 0),
            C32(0x180, Some(0)),
            W8(CHANCMD, RESET),
            R8(CHANCMD, 0),
            D32(0x184, 0x3E07),
            W16(CHANCTRL, 0x1D),
            W32(CHANCMP, WORD as u32),
            W32(CHANCMP + 4, (WORD >> 32) as u32),
        ],
        launch(BDX, NEXT, 1),
    ]));
    script.at_dispatch(|hardware| {
        let outcome = channel.reset(hardware, &word);
        proves!(crate: H12, R190, R191;
            assert_eq!(outcome, Ok(Outcome::Stopped(RING)));
            assert_eq!(word.load(Ordering::Relaxed), RING | 3);
            assert_eq!(channel.state(), State::Ready));
        proves!(crate: R193; assert_eq!(channel.start(hardware, &word, NEXT, 1), Ok(Outcome::Done)));
    });
}

#[test]
fn a_stop_that_takes_too_long_at_dispatch_is_finished_at_passive() {
    let mut channel = running(ICX);
    let word = AtomicU64::new(RING);
    let mut expected = vec![W8(CHANCMD, ABORT)];
    expected.extend(std::iter::repeat_n(R64(CHANSTS, RING), 21));
    let script = Script::new(expected);
    let outcome = script.at_dispatch(|hardware| channel.abort(hardware, &word));
    assert_eq!((outcome, channel.state()), (Err(Refusal::Expired), State::Stopping));
    assert_eq!(script.paused_us(), 20);
    for refused in [Command::Start, Command::Append, Command::Suspend, Command::Abort, Command::Reset] {
        assert_eq!(answer(State::Stopping, refused), Answer::Refuse(Refusal::Stopping));
    }

    let mut expected = vec![R32(CHANERR, 0), W8(CHANCMD, RESET)];
    expected.extend(std::iter::repeat_n(R8(CHANCMD, RESET), 200));
    expected.extend([R8(CHANCMD, 0), W16(CHANCTRL, 0x1D), W64(CHANCMP, WORD)]);
    let script = Script::new(expected);
    script.at_passive(|hardware| channel.finish_stopping(hardware));
    assert_eq!(channel.state(), State::Halted);
    assert!(script.paused_us() > 100_000);

    let script = Script::new([]);
    let report = script.at_dispatch(|hardware| channel.service(hardware, &word));
    proves!(crate: R204;
        assert_eq!(report, Report::Stopped);
        assert_eq!(word.load(Ordering::Relaxed), RING | 3));
}

#[test]
fn a_reset_that_never_ends_takes_the_function_off_the_bus() {
    let mut channel = running(ICX);
    let word = armed();
    let mut expected = vec![W8(CHANCMD, ABORT)];
    expected.extend(std::iter::repeat_n(R64(CHANSTS, 0), 21));
    Script::new(expected).at_dispatch(|hardware| channel.abort(hardware, &word)).unwrap_err();

    // 50 looks a microsecond apart, 200 a millisecond apart, and the last one.
    let mut expected = vec![R32(CHANERR, 0), W8(CHANCMD, RESET)];
    expected.extend(std::iter::repeat_n(R8(CHANCMD, RESET), 251));
    expected.extend([C16(0x04, Some(0x0406)), D16(0x04, 0x0402)]);
    Script::new(expected).at_passive(|hardware| channel.finish_stopping(hardware));
    assert_eq!(channel.state(), State::Lost);
    let script = Script::new([]);
    script.at_dispatch(|hardware| {
        assert_eq!(channel.service(hardware, &word), Report::Stopped);
        assert_eq!(word.load(Ordering::Relaxed), 3);
        assert_eq!(channel.start(hardware, &word, RING, 1), Err(Refusal::Lost));
        assert_eq!(channel.service(hardware, &word), Report::Nothing);
        // Whoever asks for an end is told again that it has come.
        assert_eq!(channel.reset(hardware, &word), Err(Refusal::Lost));
        assert_eq!(channel.service(hardware, &word), Report::Stopped);
    });
}

#[test]
fn a_list_that_the_engine_cannot_take_is_refused_without_touching_it() {
    let mut channel = ready(BDX);
    let script = Script::new([]);
    script.at_dispatch(|hardware| {
        for (first, count) in [(RING + 8, 1), (0, 1), (1 << 46, 1), (RING, 0), (RING, 0x1_0000), (!0x3F, 1)] {
            proves!(crate: R123, R124;
                assert_eq!(channel.start(hardware, &armed(), first, count), Err(Refusal::BadList)));
        }
    });
    assert_eq!(channel.state(), State::Ready);
}

#[test]
fn commands_before_a_start_are_refused_without_touching_the_engine() {
    let mut channel = ready(BDX);
    Script::new([]).at_dispatch(|hardware| {
        assert_eq!(channel.append(hardware, RING, 1), Err(Refusal::NotStarted));
        proves!(crate: R182, R183;
            assert_eq!(channel.suspend(hardware, &armed()), Err(Refusal::NotStarted));
            assert_eq!(channel.resume(hardware), Err(Refusal::NotSuspended)));
        assert_eq!(channel.abort(hardware, &armed()), Err(Refusal::NotStarted));
    });
}

#[test]
fn a_start_ends_a_suspension() {
    let mut channel = running(BDX);
    let script = Script::new(steps([
        status(BDX, RING, Sts::Active),
        vec![W8(CHANCMD, SUSPEND)],
        status(BDX, RING, Sts::Suspended),
        launch(BDX, NEXT, 1),
    ]));
    script.at_dispatch(|hardware| {
        assert!(channel.suspend(hardware, &armed()).is_ok());
        proves!(crate: R266; assert_eq!(channel.start(hardware, &armed(), NEXT, 1), Ok(Outcome::Done)));
    });
    assert_eq!(channel.state(), State::Running);
}

#[test]
fn a_freed_channel_is_silent_and_keeps_nothing() {
    let mut channel = running(BDX);
    let word = armed();
    let script = Script::new([W16(CHANCTRL, 0)]);
    script.at_dispatch(|hardware| {
        channel.detach(hardware);
        assert_eq!(channel.rearm(hardware, &word), Report::Nothing);
    });
    proves!(crate: R110; assert_eq!(script.paused_us(), 0));
}

#[test]
fn a_freed_channel_can_be_allocated_again() {
    let mut channel = running(BDX);
    let script = Script::new(steps([
        vec![W16(CHANCTRL, 0)],
        status(BDX, RING, Sts::Idle),
        vec![
            R32(CHANERR, 0),
            W16(CHANCTRL, 0x1D),
            W32(CHANCMP, WORD as u32),
            W32(CHANCMP + 4, (WORD >> 32) as u32),
        ],
    ]));
    script.at_dispatch(|hardware| {
        channel.detach(hardware);
        proves!(crate: R108; assert_eq!(channel.attach(hardware, WORD), Ok(Outcome::Done)));
    });
    assert_eq!(channel.state(), State::Ready);
}

#[test]
fn an_allocation_that_finds_an_old_error_clears_it() {
    let mut channel = ready(ICX);
    let script = Script::new([
        W16(CHANCTRL, 0),
        R64(CHANSTS, 3),
        R32(CHANERR, 4),
        R32(CHANERR, 4),
        W32(CHANERR, 4),
        W8(CHANCMD, RESET),
        R8(CHANCMD, 0),
        W16(CHANCTRL, 0x1D),
        W64(CHANCMP, WORD),
    ]);
    script.at_dispatch(|hardware| {
        channel.detach(hardware);
        assert_eq!(channel.attach(hardware, WORD), Ok(Outcome::Done));
    });
}

#[test]
fn all_ones_end_every_command_as_gone() {
    let word = armed();
    for device in [BDX, ICX] {
        let gone = || status_word(device, u64::MAX);
        let act = |command: &str, channel: &mut Channel, before: &[Step]| {
            let script = Script::new(before.iter().copied().chain(gone()));
            let refused = script.at_dispatch(|hardware| match command {
                "suspend" => channel.suspend(hardware, &word),
                "abort" => channel.abort(hardware, &word),
                "reset" => channel.reset(hardware, &word),
                _ => channel.start(hardware, &word, RING, 1),
            });
            proves!(crate: H36; assert_eq!(refused, Err(Refusal::Gone), "{command}"));
            assert_eq!(channel.state(), State::Gone);
            // Touches nothing any more.
            Script::new([]).at_dispatch(|hardware| {
                assert_eq!(channel.service(hardware, &word), Report::Stopped);
                assert_eq!(channel.start(hardware, &word, RING, 1), Err(Refusal::Gone));
                channel.detach(hardware);
            });
        };
        act("suspend", &mut running(device), &[]);
        act("start", &mut running(device), &[]);
        act("abort", &mut running(device), &[W8(CHANCMD, ABORT)]);
        act("reset", &mut running(device), &[W8(CHANCMD, ABORT)]);
    }
}

#[test]
fn removal_touches_no_register_and_is_reported_once() {
    let mut channel = running(BDX);
    let word = AtomicU64::new(RING + 0x40);
    channel.remove(Some(&word));
    proves!(crate: R82; assert_eq!(word.load(Ordering::Relaxed), (RING + 0x40) | 3));
    Script::new([]).at_dispatch(|hardware| {
        assert_eq!(channel.service(hardware, &word), Report::Stopped);
        assert_eq!(channel.service(hardware, &word), Report::Nothing);
    });
}

#[test]
fn a_channel_freed_while_it_is_stopping_ends_up_silent() {
    let mut channel = running(ICX);
    let mut expected = vec![W8(CHANCMD, ABORT)];
    expected.extend(std::iter::repeat_n(R64(CHANSTS, 0), 21));
    Script::new(expected).at_dispatch(|hardware| channel.abort(hardware, &armed())).unwrap_err();
    let mut stopping = channel.clone();
    let script = Script::new([
        R32(CHANERR, 0),
        W8(CHANCMD, RESET),
        R8(CHANCMD, 0),
        W16(CHANCTRL, 0x1D),
        W64(CHANCMP, WORD),
        W16(CHANCTRL, 0),
    ]);
    script.at_passive(|hardware| {
        stopping.finish_stopping(hardware);
        channel.detach(hardware);
        channel.take_back(hardware, stopping);
    });
    assert_eq!((channel.state(), channel.wants_report()), (State::Halted, false));
}

#[test]
fn a_lent_channel_is_refused_to_others_and_comes_back_as_the_procedure_left_it() {
    let mut channel = running(ICX);
    let mut lent = channel.lend().expect("nobody has it");
    assert!(channel.lend().is_none(), "it is lent once");
    // Whoever comes meanwhile touches nothing.
    Script::new([]).at_dispatch(|hardware| {
        assert_eq!(channel.state(), State::Stopping);
        assert_eq!(channel.append(hardware, NEXT, 1), Err(Refusal::Stopping));
        assert_eq!(channel.abort(hardware, &armed()), Err(Refusal::Stopping));
        assert_eq!(channel.service(hardware, &armed()), Report::Nothing);
    });
    let word = AtomicU64::new(RING);
    let script =
        Script::new(steps([vec![W8(CHANCMD, ABORT)], status(ICX, RING, Sts::Halted), vec![R32(CHANERR, 0)]]));
    script.at_passive(|hardware| {
        assert_eq!(lent.abort(hardware, &word), Ok(Outcome::Stopped(RING)));
        channel.take_back(hardware, lent);
    });
    assert_eq!(channel.state(), State::Halted);
}

#[test]
fn a_channel_that_is_removed_while_it_is_lent_stays_gone_and_says_so() {
    let mut channel = running(ICX);
    let lent = channel.lend().expect("nobody has it");
    let word = AtomicU64::new(RING);
    channel.remove(Some(&word));
    Script::new([]).at_passive(|hardware| channel.take_back(hardware, lent));
    proves!(crate: R82; assert_eq!((channel.state(), channel.wants_report()), (State::Gone, true)));
    Script::new([]).at_dispatch(|hardware| assert_eq!(channel.service(hardware, &word), Report::Stopped));
}

#[test]
fn a_start_on_an_engine_that_has_halted_puts_the_error_on_record_and_leaves_the_word_armed() {
    let mut channel = running(ICX);
    let word = armed();
    let mut expected = status(ICX, RING + 0x40, Sts::Halted);
    expected.extend([R32(CHANERR, 0x100), R32(CHANERR, 0x100), W32(CHANERR, 0x100), W8(CHANCMD, RESET)]);
    expected.extend([R8(CHANCMD, 0), W16(CHANCTRL, 0x1D), W64(CHANCMP, WORD)]);
    expected.extend(launch(ICX, NEXT, 1));
    Script::new(expected)
        .at_dispatch(|hardware| assert_eq!(channel.start(hardware, &word, NEXT, 1), Ok(Outcome::Done)));
    let error = channel.take_error().map(|(error, completed)| (error.0, completed));
    proves!(crate: R112; assert_eq!((error, channel.state()), (Some((0x100, RING + 0x40)), State::Running)));
    proves!(crate: R115; assert_eq!((word.load(Ordering::Relaxed), channel.wants_report()), (ARMED, false)));
}

#[test]
fn every_state_answers_every_command() {
    for state in State::ALL {
        for command in Command::ALL {
            let given = answer(state, command);
            let reachable = !matches!(state, State::Down | State::Stopping | State::Lost | State::Gone);
            let touches = !matches!(given, Answer::Already | Answer::Refuse(_));
            assert!(reachable || !touches, "{state:?} {command:?} must not touch the engine");
        }
        proves!(crate: R110; assert!(!matches!(answer(state, Command::Detach), Answer::Refuse(_))));
    }
}

#[test]
fn a_1_2_engine_is_started_and_appended_by_commands() {
    let mut channel = Channel::new(engine(CNB), 1);
    // Channel 1's block starts at 0x100; CHANSTS 0x04, CHAINADDR 0x0C, CHANCMD 0x14, CHANCMP 0x18, CHANERR 0x28.
    let read = |state: u32| [R32(0x104, state), R32(0x108, 0), R32(0x104, state)];
    let script = Script::new(
        [R16(0x100, 0)]
            .into_iter()
            .chain(read(3))
            .chain([R32(0x128, 0), W8(0x114, RESET)])
            .chain(read(3))
            .chain([W16(0x100, 0x100)])
            .chain(read(3))
            .chain([R32(0x128, 0), W16(0x100, 0x11D), W32(0x118, WORD as u32), W32(0x11C, 2)])
            .chain([W32(0x10C, 0x40), W32(0x110, 0), W8(0x114, 0x01), W8(0x114, 0x02)]),
    );
    script.at_passive(|hardware| {
        channel.bring_up(hardware).unwrap();
        channel.attach(hardware, WORD).unwrap();
        proves!(crate: H42, H43;
            assert_eq!(channel.start(hardware, &armed(), 0x40, 1), Ok(Outcome::Done));
            assert_eq!(channel.append(hardware, 0x80, 1), Ok(Outcome::Done)));
    });
}
