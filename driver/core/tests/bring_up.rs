//! From whatever state firmware, a crashed system or a power-down left, to a programmed channel; and back.
#![forbid(unsafe_code)]

mod script;

use ioat_core::bring_up::halt_for_dump;
use ioat_core::{BringUpError, Channel, State, Trouble};
use ioat_regs::{ChanErr, Device, State as Sts};
use proof::proves;
use script::*;

fn bring_up(device: u16, script: &Script) -> (Channel, Result<Trouble, BringUpError>) {
    let mut channel = Channel::new(engine(device), 0);
    let result = script.at_passive(|hardware| channel.bring_up(hardware));
    (channel, result)
}

#[test]
fn a_halted_engine_is_cleared_and_reset() {
    let script = Script::new(steps([
        status(BDX, 0, Sts::Halted),
        vec![
            R32(CHANERR, 0x0001_0004),
            W32(CHANERR, 0x0001_0004),
            C32(0x180, Some(4)),
            D32(0x180, 4),
            W8(CHANCMD, RESET),
            R8(CHANCMD, RESET),
            R8(CHANCMD, 0),
            D32(0x184, 0x3E07),
            W16(CHANCTRL, 0),
        ],
    ]));
    let (channel, result) = bring_up(BDX, &script);
    let trouble = result.unwrap();
    proves!(crate: H9, H10, H13;
        assert_eq!(channel.state(), State::Ready);
        assert_eq!((trouble.errors, trouble.internal_errors), (ChanErr(0x0001_0004), ChanErr(4))));
}

#[test]
fn a_running_engine_is_suspended_first() {
    let script = Script::new(steps([
        status(ICX, RING, Sts::Active),
        status(ICX, RING, Sts::Active),
        vec![W8(CHANCMD, SUSPEND)],
        status(ICX, RING, Sts::Suspended),
        vec![R32(CHANERR, 0), W8(CHANCMD, RESET), R8(CHANCMD, 0), W16(CHANCTRL, 0)],
    ]));
    let (_, result) = bring_up(ICX, &script);
    proves!(crate: H9; assert!(result.unwrap().was_running));
}

#[test]
fn an_engine_that_does_not_suspend_is_reset_after_100_ms() {
    let mut expected = status(ICX, RING, Sts::Active);
    expected.extend(status(ICX, RING, Sts::Active));
    expected.push(W8(CHANCMD, SUSPEND));
    expected.extend(std::iter::repeat_n(R64(CHANSTS, RING), 150));
    expected.extend([R32(CHANERR, 0), W8(CHANCMD, RESET), R8(CHANCMD, 0), W16(CHANCTRL, 0)]);
    let script = Script::new(expected);
    let (channel, result) = bring_up(ICX, &script);
    proves!(crate: H9;
        assert!(result.unwrap().did_not_suspend);
        assert_eq!(channel.state(), State::Ready));
    assert!((100_000..101_000).contains(&script.paused_us()), "{}", script.paused_us());
}

#[test]
fn a_reset_that_does_not_end_fails_after_200_ms() {
    let mut expected = vec![R64(CHANSTS, 3), R32(CHANERR, 0), W8(CHANCMD, RESET)];
    expected.extend(std::iter::repeat_n(R8(CHANCMD, RESET), 251));
    let script = Script::new(expected);
    let (channel, result) = bring_up(ICX, &script);
    proves!(crate: H9; assert_eq!(result, Err(BringUpError::ResetExpired)));
    assert_eq!(channel.state(), State::Down);
    assert!((200_000..201_000).contains(&script.paused_us()), "{}", script.paused_us());
}

#[test]
fn unreachable_configuration_space_is_no_failure() {
    for unreachable in [None, Some(u32::MAX)] {
        let script = Script::new(steps([
            status(BDX, 0, Sts::Halted),
            vec![
                R32(CHANERR, 0),
                C32(0x180, unreachable),
                W8(CHANCMD, RESET),
                R8(CHANCMD, 0),
                D32(0x184, 0x3E07),
                W16(CHANCTRL, 0),
            ],
        ]));
        let (_, result) = bring_up(BDX, &script);
        proves!(crate: H5; assert!(result.unwrap().config_unreachable));
    }
}

#[test]
fn the_first_tylersburg_function_has_its_spurious_parity_error_cleared() {
    let script = Script::new(steps([
        status(BDX, 0, Sts::Halted),
        vec![
            R32(CHANERR, 0),
            C32(0x180, Some(0)),
            D32(0x148, 0x10),
            W8(CHANCMD, RESET),
            R8(CHANCMD, 0),
            D32(0x184, 0x3E07),
            W16(CHANCTRL, 0),
        ],
    ]));
    let (_, result) = bring_up(0x3430, &script);
    proves!(crate: H10; assert!(result.is_ok()));
}

#[test]
fn the_message_table_survives_a_reset_that_wipes_it() {
    let script = Script::new([
        R64(CHANSTS, 3),
        R32(CHANERR, 0),
        R64(0x1000, 0xFEE0_0000),
        R64(0x1008, 0x41),
        R64(0x1800, 0),
        W8(CHANCMD, RESET),
        R8(CHANCMD, RESET),
        R8(CHANCMD, 0),
        W64(0x1000, 0xFEE0_0000),
        W64(0x1008, 0x41),
        W64(0x1800, 0),
        W16(CHANCTRL, 0),
    ]);
    let (_, result) = bring_up(0x6F50, &script);
    proves!(crate: H11; assert!(result.is_ok()));
}

#[test]
fn a_device_that_has_left_is_not_waited_for() {
    let script = Script::new([R64(CHANSTS, u64::MAX)]);
    let (_, result) = bring_up(ICX, &script);
    proves!(crate: H36; assert_eq!(result, Err(BringUpError::Gone)));

    let script = Script::new([R64(CHANSTS, 3), R32(CHANERR, 0), W8(CHANCMD, RESET), R8(CHANCMD, 0xFF)]);
    let (_, result) = bring_up(ICX, &script);
    proves!(crate: H36; assert_eq!(result, Err(BringUpError::Gone)));
    assert_eq!(script.paused_us(), 0);
}

#[test]
fn an_allocation_survives_power_down_and_is_programmed_again() {
    let mut channel = running(ICX);
    let script = Script::new([
        R64(CHANSTS, RING | 1),
        R64(CHANSTS, RING | 1),
        W8(CHANCMD, SUSPEND),
        R64(CHANSTS, RING | 2),
        R32(CHANERR, 0),
        W8(CHANCMD, RESET),
        R8(CHANCMD, 0),
        W16(CHANCTRL, 0),
    ]);
    script.at_passive(|hardware| {
        proves!(crate: H37, H38; assert_eq!(channel.shut_down(hardware), Ok(())));
    });
    assert_eq!(channel.state(), State::Down);
    // D3 to D0 lost everything; the completion address comes back.
    let script = Script::new([
        R64(CHANSTS, 3),
        R32(CHANERR, 0),
        W8(CHANCMD, RESET),
        R8(CHANCMD, 0),
        W16(CHANCTRL, 0x1D),
        W64(CHANCMP, WORD),
    ]);
    script.at_passive(|hardware| channel.bring_up(hardware)).unwrap();
    assert_eq!(channel.state(), State::Ready);
}

#[test]
fn shutting_down_twice_touches_the_engine_once() {
    let mut channel = ready(ICX);
    let script =
        Script::new([R64(CHANSTS, 3), R32(CHANERR, 0), W8(CHANCMD, RESET), R8(CHANCMD, 0), W16(CHANCTRL, 0)]);
    script.at_passive(|hardware| {
        channel.shut_down(hardware).unwrap();
        channel.shut_down(hardware).unwrap();
    });
}

#[test]
fn preparing_a_function_turns_bus_mastering_on_and_relaxed_ordering_off() {
    let script = Script::new([
        C16(0x04, Some(0x0002)),
        D16(0x04, 0x0006),
        C16(0x34, Some(0x0080)),
        C16(0x80, Some(0x9011)),
        C16(0x90, Some(0xE010)),
        C16(0x98, Some(0x0810)),
        D16(0x98, 0x0000),
    ]);
    proves!(crate: H16; engine(BDX).prepare(&script, true));
    script.finish();
}

#[test]
fn a_capability_list_that_goes_in_circles_is_left_alone() {
    let mut expected = vec![C16(0x04, Some(0x0006)), C16(0x34, Some(0x0040))];
    expected.extend(std::iter::repeat_n(C16(0x40, Some(0x4001)), 48));
    let script = Script::new(expected);
    engine(BDX).prepare(&script, true);
    script.finish();
}

/// The registers of channel 0 on 1.2 that differ from later ones.
const CHANCMD_V1: u32 = 0x94;

fn status_v1(state: u32) -> Vec<Step> {
    vec![R32(0x84, state), R32(0x88, 0), R32(0x84, state)]
}

#[test]
fn before_3_0_a_channel_is_claimed_by_one_read_and_given_back_at_the_end() {
    let script = Script::new(steps([
        vec![R16(CHANCTRL, 0)],
        status_v1(3),
        vec![R32(CHANERR, 0), W8(CHANCMD_V1, RESET)],
        status_v1(3),
        vec![W16(CHANCTRL, 0x100)],
    ]));
    let (mut channel, result) = bring_up(CNB, &script);
    proves!(crate: H42; assert_eq!((result, channel.state()), (Ok(Trouble::default()), State::Ready)));

    // Brought up again, the claim stands and is not asked for: the read would find our own bit.
    let script = Script::new(steps([
        status_v1(3),
        vec![R32(CHANERR, 0), W8(CHANCMD_V1, RESET)],
        status_v1(3),
        vec![W16(CHANCTRL, 0x100)],
    ]));
    proves!(crate: H42; assert!(script.at_passive(|hardware| channel.bring_up(hardware)).is_ok()));

    let script = Script::new(steps([
        status_v1(3),
        vec![R32(CHANERR, 0), W8(CHANCMD_V1, RESET)],
        status_v1(3),
        vec![W16(CHANCTRL, 0)],
    ]));
    proves!(crate: H42; assert_eq!(script.at_passive(|hardware| channel.shut_down(hardware)), Ok(())));
    assert!(script.paused_us() >= 100_000, "1.2 comes to rest before memory is freed");
}

#[test]
fn a_channel_that_somebody_else_has_claimed_is_left_alone() {
    let script = Script::new([R16(CHANCTRL, 0x100)]);
    let (mut channel, result) = bring_up(CNB, &script);
    proves!(crate: H42; assert_eq!((result, channel.state()), (Err(BringUpError::Claimed), State::Down)));
    // Not even at the end.
    proves!(crate: H42; Script::new([]).at_passive(|hardware| assert_eq!(channel.shut_down(hardware), Ok(()))));
}

#[test]
fn a_claim_is_given_back_when_the_bring_up_fails() {
    let mut expected = vec![R16(CHANCTRL, 0)];
    expected.extend(status_v1(3));
    expected.extend([R32(CHANERR, 0), W8(CHANCMD_V1, RESET)]);
    let waiting: Vec<Step> = std::iter::repeat_n(status_v1(0), 251).flatten().collect();
    expected.extend(waiting);
    expected.push(W16(CHANCTRL, 0));
    let (_, result) = bring_up(CNB, &Script::new(expected));
    proves!(crate: H42; assert_eq!(result, Err(BringUpError::ResetExpired)));
}

#[test]
fn on_1_2_configuration_space_says_whether_the_interrupt_is_a_message() {
    for (found, message, written) in
        [(1, true, Some(3)), (3, true, None), (3, false, Some(1)), (1, false, None)]
    {
        let mut expected = vec![C16(0x04, Some(0x0006)), C32(0x48, Some(found))];
        expected.extend(written.map(|value| D32(0x48, value)));
        expected.push(C16(0x34, Some(0)));
        let script = Script::new(expected);
        proves!(crate: H41; engine(CNB).prepare(&script, message));
        script.finish();
    }
}

#[test]
fn at_a_bug_check_one_write_stops_a_channel() {
    for (device, command) in [(CNB, 0x114), (BDX, 0x104)] {
        let script = Script::new([W8(command, RESET)]);
        let version = Device::find(0x8086, device).unwrap().platform.version;
        proves!(crate: H39; halt_for_dump(&script, version, 1));
        script.finish();
    }
}
