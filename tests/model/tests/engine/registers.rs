//! General registers, channel registers, widths and halves.

use ioat_regs::{ChanErr, State, channel, config};
use proof::proves;

use crate::bench::{INTERRUPT, RING, Rig, Slot, TARGET, WORD};

#[test]
fn accesses_of_every_width_reach_the_registers_they_span() {
    let mut rig = Rig::new();
    rig.write(0x03, 1, 0x09);

    let wide = rig.read(0x00, 8);
    let after = rig.read(0x03, 1);

    proves!(model: M10;
        assert_eq!(wide, 0x0900_1401);
        assert_eq!(after, 0x08, "the wide read covered INTRCTRL and cleared its bit 0"));

    rig.set_chain(RING);
    let halves = rig.channel_read(0x10, 4) | (rig.channel_read(0x14, 4) << 32);
    let quarters: u64 = (0..4).map(|n| rig.channel_read(0x10 + 2 * n, 2) << (16 * n)).sum();
    let bytes: u64 = (0..8).map(|n| rig.channel_read(0x10 + n, 1) << (8 * n)).sum();
    proves!(model: M10; assert_eq!([halves, quarters, bytes], [RING; 3]));
    proves!(model: M10; assert_eq!(rig.read(0x08, 8), 0x32, "CBVER with its neighbours"));
}

#[test]
fn a_wide_write_reaches_each_register_once() {
    let mut rig = Rig::new();
    rig.bring_up();
    rig.put(0, &[Slot::null()]);

    // CHANCMD 0, DMACOUNT 1 in one dword.
    rig.channel_write(0x04, 4, 0x0001_0000);
    rig.run();

    proves!(model: M10; assert_eq!(rig.world.word(WORD), Rig::sts(RING, State::Idle)));
}

#[test]
fn general_registers_tell_channels_transfer_limit_version_and_capabilities() {
    for (device, version, capability) in
        [(0x6F20, 0x32, 0x41), (0x2021, 0x33, 0x41), (0x0B00, 0x34, 0x41), (0x3430, 0x30, 0x41)]
    {
        let mut rig = Rig::of(device, |_| {});
        proves!(model: M11;
            assert_eq!(rig.read(0x00, 1), 1);
            assert_eq!(rig.read(0x01, 1), 0x14);
            assert_eq!(rig.read(0x08, 1), version);
            assert_eq!(rig.read(0x10, 4), capability));
    }
}

#[test]
fn reading_intrctrl_returns_the_enable_and_clears_it() {
    let mut rig = Rig::new();
    rig.write(0x03, 1, 0x09);
    rig.execute(&[Slot::null().with(INTERRUPT)]);

    let reads = [rig.read(0x03, 1), rig.read(0x03, 1)];

    proves!(model: M12; assert_eq!(reads, [0x0F, 0x0A]));
    rig.write(0x03, 1, 0x01);
    proves!(model: M12; assert_eq!(rig.read(0x03, 1), 0x07, "bit 3 is storage, bits 1 and 2 are not"));
}

#[test]
fn attention_clears_on_read_on_write_of_ones_and_on_rearm() {
    type Clearing = fn(&mut Rig);
    let ways: [Clearing; 3] = [
        |rig| assert_eq!(rig.read(0x04, 4), 1),
        |rig| rig.write(0x04, 4, 1),
        |rig| rig.control(channel::CHANCTRL_RUN),
    ];
    for clear in ways {
        let mut rig = Rig::new();
        rig.execute(&[Slot::null().with(INTERRUPT)]);
        assert_eq!(rig.read(0x03, 1) & 2, 2);

        clear(&mut rig);

        proves!(model: M13; assert_eq!(rig.read(0x03, 1) & 2, 0); assert_eq!(rig.read(0x04, 4), 0));
    }
}

#[test]
fn interrupt_delay_is_stored_and_its_support_bit_is_constant() {
    for coalescing in [false, true] {
        let mut rig = Rig::of(0x6F20, |options| options.coalescing = coalescing);
        let supported = u64::from(coalescing) << 15;
        proves!(model: M14; assert_eq!(rig.read(0x0C, 2), supported));

        rig.write(0x0C, 2, 0xFFFF);
        proves!(model: M14; assert_eq!(rig.read(0x0C, 2), 0x3FFF | supported));
        rig.write(0x0C, 2, 5);
        proves!(model: M14; assert_eq!(rig.read(0x0C, 2), 5 | supported));
    }
}

#[test]
fn there_is_no_dca_block_and_dcactrl_is_storage() {
    let mut rig = Rig::new();
    assert_eq!(rig.channel_read(0x30, 4), 0xFFFF);

    rig.channel_write(0x30, 4, 0xFFFF_FFFF);

    proves!(model: M15;
        assert_eq!(rig.read(0x14, 2), 0);
        assert_eq!(rig.channel_read(0x30, 4), 0x1_FFFF));
}

#[test]
fn chain_address_in_two_halves_equals_one_store() {
    for wide in [false, true] {
        let mut rig = Rig::new();
        rig.put(0, &[Slot::null()]);
        rig.set_word(WORD);
        if wide {
            rig.channel_write(0x10, 8, RING);
        } else {
            rig.channel_write(0x10, 4, RING & 0xFFFF_FFFF);
            // The half address is not acted upon before a doorbell.
            rig.run();
            assert_eq!(rig.world.events, []);
            rig.channel_write(0x14, 4, RING >> 32);
        }
        rig.run();
        assert_eq!(rig.world.events, []);

        rig.announce(1);
        rig.run();

        proves!(model: M21; assert_eq!(rig.status(), Rig::sts(RING, State::Idle)));
    }
}

#[test]
fn chanctrl_keeps_its_enables_and_clears_its_interrupt_disable_by_one() {
    let mut rig = Rig::new();
    rig.control(0xFFFF.into());
    let all = rig.channel_read(0x00, 2);
    rig.execute(&[Slot::null().with(INTERRUPT)]);
    rig.channel_write(0x00, 2, 0x1C);
    let kept = rig.channel_read(0x00, 2) & !0x100;
    rig.channel_write(0x00, 2, 0x1D);
    let cleared = rig.channel_read(0x00, 2) & !0x100;

    proves!(model: M25;
        assert_eq!(all, 0xF33C);
        assert_eq!(kept, 0x1D, "writing zero leaves the interrupt disable");
        assert_eq!(cleared, 0x1C, "writing one clears it"));
}

#[test]
fn in_use_is_a_semaphore_that_the_first_reader_wins() {
    let mut rig = Rig::new();

    let reads = [rig.channel_read(0x00, 2), rig.channel_read(0x00, 2)];
    rig.channel_write(0x00, 2, 0);
    let again = rig.channel_read(0x00, 2);

    proves!(model: M25; assert_eq!(reads, [0, 0x100]); assert_eq!(again, 0));
}

#[test]
fn error_registers_clear_by_ones_and_independently() {
    let mut rig = Rig::new();
    rig.execute(&[Slot::copy(0x40, TARGET, 64)]);
    assert_eq!(rig.error(), ChanErr::SOURCE_ADDRESS);

    rig.channel_write(0x28, 4, 0);
    proves!(model: M26; assert_eq!(rig.error(), ChanErr::SOURCE_ADDRESS));
    rig.channel_write(0x28, 4, 2);
    proves!(model: M26; assert_eq!(rig.error(), ChanErr::SOURCE_ADDRESS));
    rig.channel_write(0x28, 4, 1);
    proves!(model: M26;
        assert_eq!(rig.error(), ChanErr(0));
        assert_eq!(rig.engine.config_read(config::CHANERR_INT, 4), 1));
    rig.engine.config_write(config::CHANERR_INT, 1, 1);
    proves!(model: M26; assert_eq!(rig.engine.config_read(config::CHANERR_INT, 4), 0));
}

#[test]
fn unaffiliated_error_cannot_be_cleared() {
    let mut rig = Rig::with_faults("halt descriptor=1 error=unaffiliated");
    rig.execute(&[Slot::null()]);

    rig.channel_write(0x28, 4, 0xFFFF_FFFF);

    proves!(model: M26; assert_eq!(rig.error(), ChanErr::UNAFFILIATED));
}

#[test]
fn before_3_3_the_low_half_of_the_status_keeps_the_high_half_for_the_next_read() {
    let mut rig = Rig::new();
    rig.execute(&[Slot::null()]);

    let low = rig.channel_read(0x08, 4);
    rig.command(ioat_regs::ChanCmd::RESET);
    let high = rig.channel_read(0x0C, 4);

    assert_eq!((high << 32) | low, Rig::sts(RING, State::Idle));
    assert_eq!(rig.channel_read(0x0C, 4), 0, "once only");
}
