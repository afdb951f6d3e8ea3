//! The state machine: commands, CHAINADDR, DMACOUNT.

use ioat_model::Timing;
use ioat_regs::{ChanCmd, ChanErr, State, channel, config};
use proof::proves;

use crate::bench::{MEMORY, RING, Rig, SOURCE, Slot, TARGET, WORD, slot};

#[test]
fn power_on_and_reset_leave_a_halted_channel_with_cleared_registers() {
    let mut rig = Rig::new();
    let look = |rig: &mut Rig| {
        [
            rig.status(),
            rig.channel_read(0x10, 8),
            rig.channel_read(0x18, 8),
            rig.channel_read(0x06, 2),
            rig.channel_read(0x04, 1),
        ]
    };
    proves!(model: M16; assert_eq!(look(&mut rig), [3, 0, 0, 0, 0]));

    rig.execute(&[Slot::null()]);
    rig.command(ChanCmd::RESET);

    proves!(model: M16, M17; assert_eq!(look(&mut rig), [3, 0, 0, 0, 0]));
}

#[test]
fn writes_made_while_a_reset_is_pending_stick() {
    let mut rig = Rig::of(0x6F20, |options| options.timing.reset = 500_000);
    rig.execute(&[Slot::null()]);
    rig.command(ChanCmd::RESET);
    assert_eq!(rig.channel_read(0x04, 1), 0x20);
    assert_eq!(rig.channel_read(0x18, 8), 0, "cleared at the write itself");

    rig.control(channel::CHANCTRL_RUN);
    rig.set_word(WORD + 64);
    rig.set_chain(slot(4));
    rig.put(4, &[Slot::null()]);
    rig.announce(1);
    rig.run();

    proves!(model: M17;
        assert!(rig.world.now <= 1_000_000);
        assert_eq!(rig.channel_read(0x04, 1), 0);
        assert_eq!(rig.status(), Rig::sts(slot(4), State::Idle));
        assert_eq!(rig.world.word(WORD + 64), Rig::sts(slot(4), State::Idle)));
}

#[test]
fn reset_keeps_errors_masks_and_enables_but_not_the_interrupt_state() {
    let mut rig = Rig::new();
    rig.channel_write(0x2C, 4, 0x0003_0000);
    rig.bring_up();
    rig.put(0, &[Slot::null().with(crate::bench::INTERRUPT), Slot::copy(0x40, TARGET, 8)]);
    rig.announce(2);
    rig.run();

    rig.command(ChanCmd::RESET);

    proves!(model: M18;
        assert_eq!(rig.error(), ChanErr::SOURCE_ADDRESS);
        assert_eq!(rig.engine.config_read(config::CHANERR_INT, 4), 1);
        assert_eq!(rig.channel_read(0x2C, 4), 0x0003_0000);
        assert_eq!(rig.channel_read(0x00, 2), 0x1C);
        assert_eq!(rig.read(0x04, 4), 0);
        assert_eq!(rig.channel_read(0x18, 8), 0));
}

#[test]
fn reset_may_keep_the_completion_address() {
    let mut rig = Rig::of(0x6F20, |options| options.reset_keeps_completion_address = true);
    rig.bring_up();

    rig.command(ChanCmd::RESET);

    proves!(model: M18; assert_eq!(rig.channel_read(0x18, 8), WORD));
}

#[test]
fn atom_engines_lose_their_msix_table_with_a_channel_reset() {
    for (device, table, wiped) in [(0x6F50, 0x1000, true), (0x6F20, 0x2000, false)] {
        let mut rig = Rig::of(device, |_| {});
        rig.write(table, 8, 0xFEE0_0000);
        rig.write(table + 8, 8, 0x41);

        rig.command(ChanCmd::RESET);

        let entry = (rig.read(table, 8), rig.read(table + 8, 8));
        proves!(model: M19;
            assert_eq!(entry, if wiped { (0, 1 << 32) } else { (0xFEE0_0000, 0x41) }, "{device:04x}"));
    }
}

#[test]
fn chain_address_arms_a_channel_in_every_resting_state() {
    type Preparation = fn(&mut Rig);
    let preparations: [Preparation; 4] = [
        |_| {},
        |rig| rig.set_chain(slot(9)),
        |rig| {
            rig.execute(&[Slot::null()]);
        },
        |rig| {
            rig.execute(&[Slot::null()]);
            rig.command(ChanCmd::SUSPEND);
            rig.run();
        },
    ];
    for (prepare, state) in preparations.into_iter().zip([3, 4, 1, 2]) {
        for (offset, width) in [(0x10, 4), (0x14, 4), (0x10, 8)] {
            let mut rig = Rig::new();
            prepare(&mut rig);
            assert_eq!(rig.status() & 7, state);

            rig.channel_write(offset, width, RING >> (8 * (offset - 0x10)));

            proves!(model: M20;
                assert_eq!(rig.status(), 4, "from state {state} at {offset:#x}");
                assert_eq!(rig.channel_read(0x06, 2), 0));
        }
    }
}

#[test]
fn an_uncleared_error_keeps_the_channel_halted() {
    let mut rig = Rig::new();
    rig.execute(&[Slot::copy(0x40, TARGET, 8)]);
    rig.command(ChanCmd::RESET);
    rig.set_chain(RING);
    proves!(model: M20; assert_eq!(rig.status(), 3));

    rig.channel_write(0x28, 4, 1);
    rig.set_chain(RING);
    proves!(model: M20; assert_eq!(rig.status(), 3, "before 3.3 the second copy counts too"));

    rig.engine.config_write(config::CHANERR_INT, 4, 1);
    rig.set_chain(RING);
    proves!(model: M20; assert_eq!(rig.status(), 4));
}

#[test]
fn from_3_3_on_clearing_chanerr_is_enough() {
    let mut rig = Rig::of(0x2021, |_| {});
    rig.execute(&[Slot::copy(0x40, TARGET, 8)]);

    rig.channel_write(0x28, 4, 1);
    rig.set_chain(RING);

    proves!(model: M20; assert_eq!(rig.status(), 4));
}

#[test]
fn a_bad_chain_address_halts_at_the_doorbell_and_a_bad_completion_address_at_the_first_word() {
    let mut rig = Rig::new();
    rig.bring_up();
    rig.set_chain(RING + 32);
    rig.announce(1);
    rig.run();
    proves!(model: M22; assert_eq!(rig.error(), ChanErr::CHAIN_ADDRESS));

    let mut rig = Rig::new();
    rig.bring_up();
    rig.set_word(WORD + 4);
    rig.put(0, &[Slot::null().without_record(), Slot::null()]);
    rig.announce(1);
    rig.run();
    assert_eq!(rig.status(), Rig::sts(slot(0), State::Idle), "no word, no error");
    rig.announce(2);
    rig.run();
    proves!(model: M22; assert_eq!(rig.error(), ChanErr::COMPLETION_ADDRESS));
}

#[test]
fn suspend_finishes_what_is_in_flight() {
    let timing = Timing { per_byte: 1_000_000, ..Timing::default() };
    let mut rig = Rig::of(0x6F20, |options| options.timing = timing);
    rig.bring_up();
    rig.put(0, &[Slot::copy(SOURCE, TARGET, 100), Slot::copy(SOURCE, TARGET, 100)]);
    rig.announce(2);
    rig.run_now();
    assert_eq!(rig.status(), 0, "the first one is in flight");

    rig.command(ChanCmd::SUSPEND);
    rig.run();

    proves!(model: M23;
        assert_eq!(rig.status(), Rig::sts(slot(0), State::Suspended));
        assert!(rig.world.now <= 1_000_000);
        assert_eq!(rig.world.word(WORD), Rig::sts(slot(0), State::Active)));
}

#[test]
fn suspend_is_immediate_when_nothing_is_in_flight() {
    let mut rig = Rig::new();
    rig.execute(&[Slot::null()]);

    rig.command(ChanCmd::SUSPEND);

    proves!(model: M23; assert_eq!(rig.status(), Rig::sts(slot(0), State::Suspended)));
}

#[test]
fn suspend_is_ignored_without_error_in_halted_armed_and_suspended() {
    let mut rig = Rig::new();
    for state in [3, 4, 2] {
        match state {
            4 => rig.set_chain(RING),
            2 => {
                rig.execute(&[Slot::null()]);
                rig.command(ChanCmd::SUSPEND);
            }
            _ => {}
        }
        rig.command(ChanCmd::SUSPEND);
        rig.run();
        proves!(model: M23; assert_eq!(rig.status() & 7, state); assert_eq!(rig.error(), ChanErr(0)));
    }
}

#[test]
fn resume_goes_on_behind_the_last_descriptor_done() {
    let mut rig = Rig::new();
    rig.execute(&[Slot::null()]);
    rig.command(ChanCmd::SUSPEND);
    rig.put(1, &[Slot::null(), Slot::null()]);
    rig.announce(3);
    rig.run();
    assert_eq!(rig.status(), Rig::sts(slot(0), State::Suspended), "a doorbell does not end a suspend");

    rig.command(ChanCmd::RESUME);
    rig.run();

    assert_eq!(rig.status(), Rig::sts(slot(2), State::Idle));
}

#[test]
fn abort_halts_at_once_and_keeps_what_was_done() {
    let timing = Timing { per_descriptor: 1000, ..Timing::default() };
    let mut rig = Rig::of(0x6F20, |options| options.timing = timing);
    rig.bring_up();
    rig.put(0, &[Slot::null(), Slot::copy(SOURCE, TARGET, 8)]);
    rig.world.fill(SOURCE, &[7; 8]);
    rig.announce(2);
    rig.run_now();
    rig.world.now += 1000;
    rig.run_now();

    rig.command(ChanCmd::ABORT);
    assert_eq!(rig.status(), Rig::sts(slot(0), State::Halted));
    rig.run();

    assert_eq!(rig.error(), ChanErr(0));
    assert_eq!(rig.world.bytes(TARGET, 8), [0; 8], "the one in flight did not finish");
    rig.set_chain(slot(1));
    assert_eq!(rig.status(), 4, "a new chain needs no clearing of errors");
}

#[test]
fn two_commands_at_once_are_an_error() {
    let mut rig = Rig::new();
    rig.execute(&[Slot::null()]);

    rig.channel_write(0x04, 1, 0x24);

    proves!(model: M24;
        assert_eq!(rig.error(), ChanErr::COMMAND);
        assert_eq!(rig.status() & 7, 3));
}

#[test]
fn counter_wraps_and_every_descriptor_runs_once() {
    const SLOTS: u64 = 1024;
    let mut rig = Rig::new();
    rig.bring_up();
    for number in 0..SLOTS {
        let next = slot((number + 1) % SLOTS);
        rig.world.fill(slot(number), &Slot { next, ..Slot::null() }.bytes());
    }
    let total: u64 = 3 * 65536 + 77;
    let mut announced: u64 = 0;
    while announced < total {
        announced = (announced + 777).min(total);
        rig.announce(announced as u16);
        rig.run();
        rig.world.events.clear();
    }

    let done = rig.engine.channel_statistics(0).unwrap().descriptors;
    proves!(model: M27;
        assert_eq!(done, total);
        assert_eq!(rig.status(), Rig::sts(slot((total - 1) % SLOTS), State::Idle)));
}

#[test]
fn the_same_count_again_changes_nothing() {
    let mut rig = Rig::new();
    rig.bring_up();
    rig.announce(0);
    rig.run();
    proves!(model: M28; assert_eq!(rig.status(), 4));

    rig.put(0, &[Slot::null(), Slot::null()]);
    rig.announce(1);
    rig.run();
    rig.announce(1);
    rig.run();
    proves!(model: M28; assert_eq!(rig.status(), Rig::sts(slot(0), State::Idle)));
}

#[test]
fn a_window_of_65535_is_one_doorbell() {
    const SLOTS: u64 = 64;
    let mut rig = Rig::new();
    rig.bring_up();
    for number in 0..SLOTS {
        let next = slot((number + 1) % SLOTS);
        rig.world.fill(slot(number), &Slot { next, ..Slot::null().without_record() }.bytes());
    }

    rig.announce(65535);
    rig.run();

    proves!(model: M27, M29;
        assert_eq!(rig.engine.channel_statistics(0).unwrap().descriptors, 65535);
        assert_eq!(rig.status(), Rig::sts(slot(65534 % SLOTS), State::Idle)));
}

#[test]
fn next_pointer_is_read_only_when_another_descriptor_is_announced() {
    let mut rig = Rig::new();
    rig.execute(&[Slot::null()]);
    // The tail is relinked to a slot far away after it is done and before the next doorbell.
    let elsewhere = MEMORY + 0x70_0000;
    rig.world.fill(slot(0) + 0x18, &elsewhere.to_le_bytes());
    rig.world.fill(elsewhere, &Slot::null().bytes());

    rig.announce(2);
    rig.run();

    proves!(model: M30; assert_eq!(rig.status(), Rig::sts(elsewhere, State::Idle)));
}

#[test]
fn a_scattered_ring_is_followed_by_its_pointers() {
    let mut rig = Rig::new();
    rig.bring_up();
    let places = [RING, RING + 0x5000, RING + 0x1040, MEMORY + 0x6F_FFC0];
    for (number, place) in places.into_iter().enumerate() {
        let next = places[(number + 1) % places.len()];
        rig.world.fill(place, &Slot { next, ..Slot::null() }.bytes());
    }

    rig.announce(10);
    rig.run();

    proves!(model: M30; assert_eq!(rig.status(), Rig::sts(places[1], State::Idle)));
}

#[test]
fn next_pointer_errors_count_only_when_it_is_needed() {
    for (next, error) in [(RING + 0x108, ChanErr::DESCRIPTOR), (0x1000, ChanErr::NEXT_ADDRESS)] {
        let mut rig = Rig::new();
        rig.bring_up();
        rig.world.fill(RING, &Slot { next, ..Slot::null() }.bytes());
        rig.announce(1);
        rig.run();
        proves!(model: M37; assert_eq!(rig.error(), ChanErr(0)); assert_eq!(rig.status() & 7, 1));

        rig.announce(2);
        rig.run();
        proves!(model: M37; assert_eq!(rig.error(), error); assert_eq!(rig.status(), RING | 3));
    }
}

#[test]
fn recovery_in_dpdks_order_rearms_the_channel() {
    let mut rig = Rig::of(0x0B00, |_| {});
    rig.bring_up();
    rig.put(0, &[Slot::null(), Slot::copy(0, TARGET, 64), Slot::null(), Slot::null()]);
    rig.announce(4);
    rig.run();
    assert_eq!(rig.status(), slot(0) | 3);

    let error = rig.error();
    rig.channel_write(0x28, 4, error.0.into());
    rig.command(ChanCmd::RESET);
    rig.channel_write(0x10, 8, slot(2));
    rig.channel_write(0x00, 2, 0x000C);
    rig.channel_write(0x18, 8, WORD);

    proves!(model: M47; assert_eq!(rig.status(), 4));
    rig.announce(2);
    rig.run();
    proves!(model: M47; assert_eq!(rig.status(), Rig::sts(slot(3), State::Idle)));
}

#[test]
fn start_delay_holds_the_first_fetch_after_arming_only() {
    let timing = Timing { start_delay: 30_000, ..Timing::default() };
    let mut rig = Rig::of(0x6F20, |options| options.timing = timing);
    rig.bring_up();
    rig.put(0, &[Slot::null(), Slot::null()]);

    rig.announce(1);
    rig.run_now();
    proves!(model: M61; assert_eq!(rig.world.events, []); assert_eq!(rig.status(), 0, "active at the doorbell"));
    rig.run();
    proves!(model: M61; assert_eq!(rig.world.now, 30_000); assert_eq!(rig.status() & 7, 1));

    rig.announce(2);
    rig.run_now();
    proves!(model: M61; assert_eq!(rig.status(), Rig::sts(slot(1), State::Idle)));
}

#[test]
fn a_chain_address_written_while_active_takes_over_after_the_current_descriptor() {
    let timing = Timing { per_descriptor: 1000, ..Timing::default() };
    let mut rig = Rig::of(0x6F20, |options| options.timing = timing);
    rig.bring_up();
    rig.put(0, &[Slot::null(), Slot::null()]);
    rig.put(8, &[Slot::null()]);
    rig.announce(2);
    rig.run_now();

    rig.set_chain(slot(8));
    rig.announce(1);
    rig.run();

    assert_eq!(rig.status(), Rig::sts(slot(8), State::Idle));
    assert_eq!(rig.engine.channel_statistics(0).unwrap().descriptors, 2);
}
