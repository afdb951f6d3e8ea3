//! Requests, the latch, MSI-X masks, the line, and coalescing.

use ioat_regs::{channel::CHANCTRL_RUN, config};
use proof::proves;

use crate::bench::{Event, INTERRUPT, Rig, Slot, TARGET};

const ENTRY_CONTROL: u32 = 0x200C;
const PENDING: u32 = 0x3000;

/// A channel with MSI-X, up and running, `count` nulls with interrupt in its ring.
fn running(count: usize) -> Rig {
    let mut rig = Rig::new();
    rig.enable_msix();
    rig.bring_up();
    rig.put(0, &vec![Slot::null().with(INTERRUPT); count]);
    rig
}

#[test]
fn descriptors_and_errors_request_interrupts_when_told_to() {
    let mut rig = running(1);
    rig.announce(1);
    rig.run();
    proves!(model: M48; assert_eq!(rig.world.messages(), 1));

    for (control, messages) in [(0x001D, 1), (0x000D, 0)] {
        let mut rig = Rig::new();
        rig.enable_msix();
        rig.bring_up();
        rig.control(control.into());
        rig.put(0, &[Slot::copy(0x40, TARGET, 8)]);
        rig.announce(1);
        rig.run();
        proves!(model: M48; assert_eq!(rig.world.messages(), messages, "control {control:#x}"));
    }
}

#[test]
fn a_request_before_the_rearm_is_latched_and_comes_with_it() {
    let mut rig = running(3);
    rig.announce(1);
    rig.run();
    assert_eq!(rig.channel_read(0x00, 2) & 1, 1, "hardware has disabled the interrupt");
    rig.announce(3);
    rig.run();
    proves!(model: M49; assert_eq!(rig.world.messages(), 1, "no second message before the re-arm"));

    rig.control(CHANCTRL_RUN);
    rig.run();
    proves!(model: M49;
        assert_eq!(rig.world.messages(), 2, "one for all that were latched");
        assert_eq!(rig.channel_read(0x00, 2) & 1, 1));

    rig.control(CHANCTRL_RUN);
    rig.run();
    proves!(model: M49; assert_eq!(rig.world.messages(), 2, "none without a request"));
}

#[test]
fn no_request_is_lost_whenever_the_rearm_comes() {
    // At each step of a long run the driver may re-arm: each interrupt is answered by one, and none is missing.
    for every in [1, 2, 3, 7] {
        let mut rig = running(40);
        rig.announce(40);
        let mut answered = 0;
        for step in 0.. {
            let idle = rig.engine.step(&mut rig.world) == ioat_model::Progress::Idle;
            if step % every == 0 && rig.world.messages() > answered {
                answered = rig.world.messages();
                rig.control(CHANCTRL_RUN);
            } else if idle && rig.world.messages() == answered {
                break;
            }
        }
        let statistics = rig.engine.channel_statistics(0).unwrap();
        proves!(model: M49;
            assert_eq!(statistics.interrupts_requested, 40);
            assert_eq!(rig.engine.channel_state(0).unwrap().0.address(), crate::bench::slot(39));
            assert_eq!(rig.channel_read(0x00, 2) & 1, 0, "the last one was answered too"));
    }
}

#[test]
fn a_masked_vector_is_pending_and_is_sent_when_unmasked() {
    type Mask = fn(&mut Rig, bool);
    let masks: [Mask; 2] = [
        |rig, on| rig.write(ENTRY_CONTROL, 4, on.into()),
        |rig, on| rig.engine.config_write(config::MSIX + 2, 2, if on { 0xC000 } else { 0x8000 }),
    ];
    for mask in masks {
        let mut rig = running(1);
        mask(&mut rig, true);
        rig.announce(1);
        rig.run();
        proves!(model: M50; assert_eq!(rig.world.messages(), 0); assert_eq!(rig.read(PENDING, 8), 1));

        mask(&mut rig, false);
        rig.run();
        proves!(model: M50; assert_eq!(rig.world.messages(), 1); assert_eq!(rig.read(PENDING, 8), 0));
    }
}

#[test]
fn msix_does_not_care_for_intrctrl_and_leaves_the_line_alone() {
    for value in [0x00, 0x01, 0x08, 0x09] {
        let mut rig = running(1);
        rig.write(0x03, 1, value);
        rig.announce(1);
        rig.run();
        proves!(model: M50; assert_eq!(rig.world.messages(), 1); assert!(!rig.world.line));
    }
}

#[test]
fn rearming_a_masked_vector_takes_its_pending_bit_back() {
    let mut rig = running(1);
    rig.write(ENTRY_CONTROL, 4, 1);
    rig.announce(1);
    rig.run();

    rig.control(CHANCTRL_RUN);

    proves!(model: M50; assert_eq!(rig.read(PENDING, 8), 0));
}

#[test]
fn without_bus_mastering_no_message_is_sent_and_none_is_lost() {
    let mut rig = running(1);
    rig.write(ENTRY_CONTROL, 4, 1);
    rig.announce(1);
    rig.run();
    rig.engine.config_write(config::COMMAND, 2, 0x2);
    rig.write(ENTRY_CONTROL, 4, 0);
    rig.run();
    proves!(model: M7; assert_eq!(rig.world.messages(), 0));

    rig.engine.config_write(config::COMMAND, 2, 0x6);
    rig.run();
    assert_eq!(rig.world.messages(), 1);
}

/// A channel on the line, up and running.
fn on_the_line(count: usize) -> Rig {
    let mut rig = Rig::new();
    rig.bring_up();
    rig.write(0x03, 1, 1);
    rig.put(0, &vec![Slot::null().with(INTERRUPT); count]);
    rig
}

#[test]
fn line_is_master_enable_and_attention() {
    let mut rig = on_the_line(1);
    rig.write(0x03, 1, 0);
    rig.announce(1);
    rig.run();
    proves!(model: M51; assert!(!rig.world.line));

    rig.write(0x03, 1, 1);
    rig.run();
    proves!(model: M51; assert!(rig.world.line));
}

#[test]
fn linux_handler_protocol_ends_with_the_line_low() {
    let mut rig = on_the_line(2);
    rig.announce(1);
    rig.run();
    assert!(rig.world.line);

    let control = rig.read(0x03, 1);
    rig.run();
    proves!(model: M51; assert_eq!(control & 3, 3); assert!(!rig.world.line, "the read drops the line"));
    assert_eq!(rig.read(0x04, 4), 1);
    rig.write(0x03, 1, control);
    rig.run();
    proves!(model: M51; assert!(!rig.world.line));
    rig.announce(2);
    rig.run();
    proves!(model: M51; assert!(!rig.world.line, "not before the channel is re-armed"));
    rig.control(CHANCTRL_RUN);
    rig.run();
    proves!(model: M51; assert!(rig.world.line, "the latched request"));
}

#[test]
fn freebsd_handler_protocol_ends_with_the_line_low() {
    let mut rig = on_the_line(1);
    rig.announce(1);
    rig.run();
    assert!(rig.world.line);

    rig.control(0x0009.into());
    rig.run();

    proves!(model: M51; assert!(!rig.world.line); assert_eq!(rig.read(0x03, 1) & 3, 1));
}

#[test]
fn coalescing_delays_interrupts_and_no_word() {
    let mut rig = Rig::of(0x6F20, |options| options.coalescing = true);
    rig.enable_msix();
    rig.write(0x0C, 2, 50);
    rig.bring_up();
    rig.put(0, &[Slot::null().with(INTERRUPT); 2]);
    rig.world.now = 1_000_000;
    rig.announce(1);
    rig.run_now();
    assert_eq!(rig.world.messages(), 1, "the first one is not held back");
    rig.control(CHANCTRL_RUN);

    rig.announce(2);
    rig.run_now();
    proves!(model: M52;
        assert_eq!(rig.world.messages(), 1);
        assert_eq!(rig.world.word(crate::bench::WORD), crate::bench::slot(1) | 1));
    rig.run();
    proves!(model: M52; assert_eq!(rig.world.messages(), 2); assert_eq!(rig.world.now, 1_050_000));
}

#[test]
fn a_late_interrupt_comes_late_and_comes() {
    let mut rig = Rig::of(0x6F20, |options| options.timing.interrupt_lag = 3000);
    rig.enable_msix();
    rig.bring_up();
    rig.put(0, &[Slot::null().with(INTERRUPT)]);
    rig.announce(1);
    rig.run_now();
    proves!(model: M52; assert_eq!(rig.world.word(crate::bench::WORD), crate::bench::slot(0) | 1));
    assert_eq!(rig.world.messages(), 0);

    rig.run();

    assert_eq!((rig.world.messages(), rig.world.now), (1, 3000));
    assert!(rig.world.events.contains(&Event::Message(0xFEE0_0000, 0x41)));
}
