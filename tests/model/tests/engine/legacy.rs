//! Hardware 1.2 and 2.0: judged by the specification alone, since no living driver of others drives them.

use ioat_model::{Options, Progress};
use ioat_regs::{ChanCmd, ChanErr, Control, Opcode, State, channel, config, device::UNISYS, general};
use proof::proves;

use crate::bench::{Event, INTERRUPT, RECORD, RING, Rig, SOURCE, Slot, TARGET, WORD, pattern, slot};

fn cb1() -> Rig {
    Rig::of(0x1A38, |_| {})
}

fn cb2() -> Rig {
    Rig::of(0x402F, |_| {})
}

/// Puts `slots` at slot `first` as a list: each linked to the next, the last one to nothing.
fn put_list(rig: &mut Rig, first: u64, slots: &[Slot]) {
    rig.put(first, slots);
    rig.world.fill(slot(first + slots.len() as u64 - 1) + 0x18, &0_u64.to_le_bytes());
}

/// From power-on to a running list, with no reset anywhere.
fn start_list(rig: &mut Rig, slots: &[Slot]) {
    put_list(rig, 0, slots);
    rig.set_word(WORD);
    rig.set_chain(RING);
    rig.command(ChanCmd::START);
}

#[test]
fn four_channels_share_a_function_and_do_not_disturb_each_other() {
    for device in [0x1A38, 0x402F] {
        let mut rig = Rig::of(device, |_| {});
        let counted = device == 0x402F;
        let map = ioat_regs::ChannelMap::of(rig.engine.options().version);
        proves!(model: M62; assert_eq!(rig.read(0x00, 1), 4));
        for n in 0..4u8 {
            let (base, ring) = (channel::base(n), RING + 0x1000 * u64::from(n));
            let descriptor = Slot::copy(SOURCE + 64 * u64::from(n), TARGET + 64 * u64::from(n), 64);
            rig.world.fill(SOURCE + 64 * u64::from(n), &pattern(n.into(), 64));
            rig.world.fill(ring, &descriptor.with(INTERRUPT).bytes());
            rig.write(base + map.completion, 8, WORD + 8 * u64::from(n));
            rig.write(base + map.chain, 8, ring);
        }
        rig.write(0x03, 1, 1);
        // Channels 1 and 3 only.
        for n in [1, 3] {
            let base = channel::base(n);
            match map.count {
                Some(count) => rig.write(base + count, 2, 1),
                None => rig.write(base + map.command, 1, ChanCmd::START.into_bits().into()),
            }
        }
        rig.run();

        let states: Vec<u64> = (0..4).map(|n| rig.read(channel::base(n) + map.status, 8)).collect();
        let resting = if counted { 4 } else { 3 };
        proves!(model: M62;
            assert_eq!(states, [resting, RING + 0x1000 + 1, resting, RING + 0x3000 + 1]);
            assert_eq!(rig.world.bytes(TARGET + 64, 64), pattern(1, 64));
            assert_eq!(rig.world.bytes(TARGET, 64), [0; 64]);
            assert!(rig.world.line);
            assert_eq!(rig.read(0x03, 1), 7);
            assert_eq!(rig.read(0x04, 4), 0b1010, "a bit per channel"));
        for n in [1, 3] {
            rig.write(channel::base(n), 2, 1);
        }
        rig.write(0x03, 1, 1);
        rig.run();
        proves!(model: M62, M51; assert!(!rig.world.line));
    }
}

#[test]
fn each_channel_has_its_own_latch_attention_and_in_use_bit() {
    let mut rig = cb2();
    rig.write(0x03, 1, 1);
    for n in 0..2u8 {
        rig.world.fill(RING + 0x1000 * u64::from(n), &Slot::null().with(INTERRUPT).bytes());
        rig.write(channel::base(n) + 0x18, 8, WORD + 8 * u64::from(n));
        rig.write(channel::base(n) + 0x10, 8, RING + 0x1000 * u64::from(n));
        rig.write(channel::base(n) + 0x06, 2, 1);
    }
    rig.run();
    rig.write(0x04, 4, 0b01);
    proves!(model: M62, M13; assert_eq!(rig.read(0x04, 4), 0b10));
    proves!(model: M62, M12; assert_eq!(rig.read(0x03, 1) & 2, 0));

    rig.write(channel::base(0), 2, 1);
    proves!(model: M62, M49;
        assert_eq!(rig.read(channel::base(0), 2) & 1, 0);
        assert_eq!(rig.read(channel::base(1), 2) & 1, 1, "the other one is not re-armed"));
    proves!(model: M62, M25; assert_eq!(rig.read(channel::base(0), 2), 0x100));
}

#[test]
fn one_msi_message_serves_all_channels_at_each_rise() {
    let mut rig = cb1();
    rig.engine.config_write(config::MSI + 4, 4, 0xFEE0_1000);
    rig.engine.config_write(config::MSI + 12, 2, 0x55);
    rig.engine.config_write(config::MSI + 2, 2, 1);
    rig.write(0x03, 1, 1);
    let nulls = [Slot::null().with(INTERRUPT)];
    start_list(&mut rig, &nulls);
    rig.run();
    proves!(model: M62, M48;
        assert!(!rig.world.line);
        assert!(rig.world.events.contains(&Event::Message(0xFEE0_1000, 0x55)));
        assert_eq!(rig.world.messages(), 1));

    // A second channel while the first is unanswered: no new rise, no new message.
    rig.world.fill(RING + 0x1000, &Slot::null().with(INTERRUPT).bytes());
    rig.write(channel::base(1) + 0x18, 8, WORD + 8);
    rig.write(channel::base(1) + 0x0C, 8, RING + 0x1000);
    rig.write(channel::base(1) + 0x14, 1, 1);
    rig.run();
    proves!(model: M62; assert_eq!(rig.world.messages(), 1));
    let control = rig.read(0x03, 1);
    rig.write(0x03, 1, control);
    rig.run();
    proves!(model: M62; assert_eq!(rig.world.messages(), 2, "the enable rose again over both"));
}

#[test]
fn registers_of_1_2_have_their_own_places_and_take_both_widths() {
    let mut rig = cb1();
    rig.channel_write(0x0C, 8, RING);
    assert_eq!(rig.channel_read(0x0C, 4) | (rig.channel_read(0x10, 4) << 32), RING);
    rig.channel_write(0x0C, 4, 0);
    rig.channel_write(0x10, 4, 0);
    proves!(model: M63; assert_eq!(rig.channel_read(0x0C, 8), 0));
    start_list(&mut rig, &[Slot::null()]);
    rig.run();

    let halves = rig.channel_read(0x04, 4) | (rig.channel_read(0x08, 4) << 32);
    rig.channel_write(0x06, 2, 5);
    rig.run();
    proves!(model: M63;
        assert_eq!(rig.channel_read(0x04, 8), RING | 1);
        assert_eq!(halves, RING | 1);
        assert_eq!(rig.read(0x10, 4), 0, "no DMACAPABILITY");
        assert_eq!(rig.engine.channel_statistics(0).unwrap().descriptors, 1, "no DMACOUNT"));
}

#[test]
fn from_power_on_a_null_of_either_size_runs_without_a_reset() {
    for size in [0, 1] {
        let mut rig = cb1();

        start_list(&mut rig, &[Slot { size, ..Slot::null() }]);
        rig.run();

        proves!(model: M64, M34;
            assert_eq!(rig.world.word(WORD), RING | 1);
            assert_eq!(rig.status(), RING | 1);
            assert_eq!(rig.error(), ChanErr(0)));
    }
}

#[test]
fn append_continues_an_idle_list_and_finds_nothing_in_an_ended_one() {
    let mut rig = cb1();
    start_list(&mut rig, &[Slot::null()]);
    rig.run();
    let events = rig.world.events.len();

    rig.command(ChanCmd::APPEND);
    rig.run();
    proves!(model: M65;
        assert_eq!(rig.status(), RING | 1);
        assert!(!rig.world.events[events..].iter().any(|event| matches!(event, Event::Store(..)))));

    put_list(&mut rig, 1, &[Slot::null(), Slot::null()]);
    rig.world.fill(slot(0) + 0x18, &slot(1).to_le_bytes());
    rig.command(ChanCmd::APPEND);
    rig.run();
    proves!(model: M65; assert_eq!(rig.status(), slot(2) | 1); assert_eq!(rig.world.word(WORD), slot(2) | 1));
}

#[test]
fn appends_racing_with_a_busy_engine_lose_nothing() {
    // A list that grows while the engine runs it; slots are used again long after they are done.
    const PAIRS: u64 = 10_000;
    const SLOTS: u64 = 1024;
    for steps in 0..4 {
        let mut rig = cb1();
        start_list(&mut rig, &[Slot::null()]);
        for number in 1..=PAIRS {
            let place = slot(number % SLOTS);
            rig.world.fill(place, &Slot::null().bytes());
            rig.world.fill(slot((number - 1) % SLOTS) + 0x18, &place.to_le_bytes());
            // Some progress between link and APPEND, and after it, in changing measure.
            for _ in 0..(number + steps) % 4 {
                rig.engine.step(&mut rig.world);
            }
            rig.command(ChanCmd::APPEND);
            if number % SLOTS == 0 {
                rig.run();
            }
        }
        rig.run();
        proves!(model: M65;
            assert_eq!(rig.engine.channel_statistics(0).unwrap().descriptors, PAIRS + 1);
            assert_eq!(rig.status(), slot(PAIRS % SLOTS) | 1));
    }
}

#[test]
fn reset_stops_a_circle_and_start_runs_from_the_same_address() {
    let mut rig = cb1();
    rig.world.fill(slot(0), &Slot { next: slot(0), ..Slot::null().without_record() }.bytes());
    rig.set_chain(RING);
    rig.command(ChanCmd::START);
    for _ in 0..1000 {
        assert_eq!(rig.engine.step(&mut rig.world), Progress::Worked);
    }
    assert_eq!(rig.status() & 7, 0);

    rig.command(ChanCmd::RESET);
    proves!(model: M66; assert_ne!(rig.status() & 7, 0); assert_eq!(rig.run_now(), Progress::Idle));

    // A copy without record and without a completion address.
    rig.world.fill(SOURCE, &pattern(3, 1024));
    rig.world.fill(slot(0), &Slot::copy(SOURCE, TARGET, 1024).without_record().bytes());
    rig.command(ChanCmd::START);
    rig.run();
    proves!(model: M66;
        assert_eq!(rig.status(), RING | 1);
        assert_eq!(rig.world.bytes(TARGET, 1024), pattern(3, 1024));
        assert!(!rig.world.events.iter().any(|event| matches!(event, Event::Store(..)))));
}

#[test]
fn start_is_ignored_while_active_and_with_an_error_and_append_while_halted() {
    let mut rig = cb1();
    start_list(&mut rig, &[Slot::copy(0x40, TARGET, 8)]);
    rig.run();
    assert_eq!(rig.error(), ChanErr::SOURCE_ADDRESS);
    assert_eq!(rig.status() & 7, 3);
    rig.command(ChanCmd::START);
    rig.command(ChanCmd::APPEND);
    assert_eq!(rig.run_now(), Progress::Idle);

    rig.channel_write(0x28, 4, 1);
    put_list(&mut rig, 0, &[Slot::null()]);
    rig.command(ChanCmd::START);
    rig.run();
    assert_eq!(rig.status(), RING | 1);
}

#[test]
fn there_is_no_armed_state_before_2_0() {
    let mut rig = cb1();

    rig.set_chain(RING);

    assert_eq!(rig.status(), 3);
}

#[test]
fn page_breaks_and_fills_are_unknown_to_1_2() {
    for descriptor in [
        Slot::copy(SOURCE, TARGET, 8192).with(Control::new().with_source_page_break(true)),
        Slot::copy(SOURCE, TARGET, 8192).with(Control::new().with_destination_page_break(true)),
        Slot::fill(1, TARGET, 8),
    ] {
        let mut rig = cb1();
        start_list(&mut rig, &[descriptor]);
        rig.run();
        proves!(model: M36; assert_eq!(rig.error(), ChanErr::CONTROL));
    }
}

#[test]
fn version_2_0_runs_a_counted_ring_from_power_on() {
    let mut rig = cb2();
    assert_eq!(rig.channel_read(0x02, 2) & 2, 2);
    rig.put(
        0,
        &[
            Slot { size: 0, ..Slot::null() },
            Slot {
                control: RECORD.with_interrupt(true).with_opcode(Opcode::DCA_CONTEXT.0).into_bits(),
                size: 3,
                ..Slot::default()
            },
            Slot { size: 0, ..Slot::null() },
        ],
    );
    rig.set_chain(RING);
    rig.set_word(WORD);
    assert_eq!(rig.status(), 4);
    rig.channel_write(0x30, 4, 0xFFFF_FFFF);

    rig.announce(3);
    rig.run();

    let statistics = *rig.engine.channel_statistics(0).unwrap();
    proves!(model: M67, M34;
        assert_eq!(rig.status(), Rig::sts(slot(2), State::Idle));
        assert_eq!(rig.world.word(WORD), slot(2) | 1);
        assert_eq!(statistics.descriptors, 3, "the context change is counted");
        assert_eq!(statistics.interrupts_requested, 0, "its low bit asks for no interrupt");
        assert_eq!(rig.channel_read(0x30, 4), 0x1_FFFF));
}

#[test]
fn version_2_0_counts_as_3_x_does() {
    const SLOTS: u64 = 64;
    let mut rig = cb2();
    for number in 0..SLOTS {
        let next = slot((number + 1) % SLOTS);
        rig.world.fill(slot(number), &Slot { next, ..Slot::null().without_record() }.bytes());
    }
    rig.set_chain(RING);
    rig.announce(0);
    proves!(model: M67, M28; assert_eq!(rig.status(), 4));
    for count in [65535, 65534, 10] {
        rig.announce(count);
        rig.run();
    }
    let total: u64 = 65535 + 65535 + 12;
    proves!(model: M67, M27, M29;
        assert_eq!(rig.engine.channel_statistics(0).unwrap().descriptors, total));

    // The next pointer is read late.
    let elsewhere = RING + 0x8000;
    rig.world.fill(slot((total - 1) % SLOTS) + 0x18, &elsewhere.to_le_bytes());
    rig.world.fill(elsewhere, &Slot::null().without_record().bytes());
    rig.announce(11);
    rig.run();
    proves!(model: M67, M30; assert_eq!(rig.status(), elsewhere | 1));
}

#[test]
fn the_first_null_is_in_memory_before_the_next_register_read() {
    for device in [0x1A38, 0x402F] {
        let mut rig = Rig::of(device, |_| {});
        let counted = device == 0x402F;
        if counted {
            rig.put(0, &[Slot { size: 0, ..Slot::null() }]);
            rig.set_word(WORD);
            rig.set_chain(RING);
            rig.announce(1);
        } else {
            start_list(&mut rig, &[Slot::null()]);
        }

        // What a bench does before it answers a register read.
        rig.engine.settle(&mut rig.world);

        proves!(model: M68; assert_eq!(rig.world.word(WORD), RING | 1, "{device:04x}"));
    }
}

#[test]
fn settling_is_bounded_even_on_a_circle() {
    let mut rig = cb1();
    rig.world.fill(slot(0), &Slot { next: slot(0), ..Slot::null() }.bytes());
    rig.set_word(WORD);
    rig.set_chain(RING);
    rig.command(ChanCmd::START);

    rig.engine.settle(&mut rig.world);

    assert_eq!(rig.engine.channel_statistics(0).unwrap().descriptors, 1);
}

#[test]
fn pci_shape_is_one_function_with_one_message_and_no_extended_space() {
    for device in [0x1A38, 0x360B, 0x65FF, 0x402F] {
        let mut rig = Rig::of(device, |_| {});
        let mut ids = Vec::new();
        let mut at = rig.engine.config_read(config::CAPABILITIES, 1) as u16;
        while at != 0 {
            ids.push(rig.engine.config_read(at, 1) as u8);
            at = rig.engine.config_read(at + 1, 1) as u16;
        }
        rig.engine.config_write(config::BAR0, 4, u32::MAX);
        let size = !(rig.engine.config_read(config::BAR0, 4) & !0xF) + 1;
        proves!(model: M69;
            assert_eq!(rig.engine.config_read(config::HEADER_TYPE, 1), 0);
            assert_eq!(rig.engine.config_read(config::INTERRUPT_PIN, 1), 1);
            assert!(ids.contains(&config::CAP_MSI) && !ids.contains(&config::CAP_MSIX));
            assert_eq!(rig.engine.config_read(config::MSI + 2, 2) & 0x7E, 0, "one message");
            assert_eq!(rig.engine.config_read(config::CHANERR_INT, 4), u32::MAX);
            assert!(size >= 1024));
    }
}

#[test]
fn dmactrl_of_1_2_stores_its_two_bits() {
    for (device, stored) in [(0x1A38, 3), (0x402F, 0), (0x6F20, 0)] {
        let mut rig = Rig::of(device, |_| {});
        rig.engine.config_write(config::DMACTRL, 4, u32::MAX);
        proves!(model: M69; assert_eq!(rig.engine.config_read(config::DMACTRL, 4), stored, "{device:04x}"));
    }
}

#[test]
fn unisys_engine_is_one_of_them() {
    let options = Options::new(UNISYS, 0x001C).unwrap();

    assert_eq!((options.version.to_string().as_str(), options.channels), ("1.2", 4));
}

#[test]
fn the_dca_requester_slots_of_1_2_are_storage() {
    let mut rig = Rig::of(0x1A38, |_| {});
    let slots = (0..general::DCA_REQUESTERS).map(|number| general::DCA_REQUESTER + 4 * number);
    for offset in slots.clone() {
        rig.write(offset, 4, (0xAB00 + offset).into());
    }
    for offset in slots {
        assert_eq!(rig.read(offset, 4), u64::from(0xAB00 + offset), "{offset:#x}");
    }
}
