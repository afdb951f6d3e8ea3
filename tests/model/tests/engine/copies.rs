//! What descriptors do to memory, and what they do when they cannot.

use ioat_model::Timing;
use ioat_regs::{ChanErr, Control, State};
use proof::proves;

use crate::bench::{MEMORY, RECORD, RING, Rig, SOURCE, Slot, TARGET, World, pattern, slot};

/// Memory as it must be after a copy: everything as before but the target bytes.
fn expect_copy(before: &[u8], world: &World, target: u64, copied: &[u8]) {
    let start = (target - MEMORY) as usize;
    let mut expected = before.to_vec();
    expected[start..start + copied.len()].copy_from_slice(copied);
    let word = (crate::bench::WORD - MEMORY) as usize;
    expected[word..word + 8].copy_from_slice(&world.memory[word..word + 8]);
    assert!(expected == world.memory, "bytes outside the target changed, or inside it did not");
}

#[test]
fn copies_of_every_length_and_alignment_move_their_bytes_and_no_others() {
    let mut rig = Rig::new();
    rig.bring_up();
    rig.world.fill(SOURCE, &pattern(1, 1 << 20));
    let lengths = (1..=130).chain([511, 4095, 4096, 4097, 12_289, 65_535, 1 << 20]);
    for (number, length) in lengths.enumerate() {
        let (from, to) = (SOURCE + number as u64 % 71, TARGET + 4090 + number as u64 * 7 % 67);
        let length = length.min((1 << 20) - 71 * u32::from(length == 1 << 20 && from != SOURCE));
        rig.set_chain(RING);
        rig.put(0, &[Slot::copy(from, to, length)]);
        let before = rig.world.memory.clone();

        rig.announce(1);
        rig.run();

        let copied = rig.world.bytes(from, length as usize).to_vec();
        proves!(model: M31;
            assert_eq!(rig.status(), Rig::sts(slot(0), State::Idle), "length {length}");
            expect_copy(&before, &rig.world, to, &copied));
    }
}

#[test]
fn the_longest_copy_is_two_to_the_xfercap() {
    let mut rig = Rig::new();
    rig.world.fill(SOURCE, &pattern(2, 1 << 20));

    rig.execute(&[Slot::copy(SOURCE, TARGET, 1 << 20)]);

    proves!(model: M31; assert!(rig.world.bytes(TARGET, 1 << 20) == rig.world.bytes(SOURCE, 1 << 20)));
}

#[test]
fn every_small_alignment_pair_crosses_a_page_correctly() {
    let mut rig = Rig::new();
    rig.bring_up();
    rig.world.fill(SOURCE, &pattern(3, 3 * 4096));
    for from in (SOURCE + 4060..).take(64) {
        for to in (TARGET + 4064..).take(32) {
            rig.set_chain(RING);
            rig.put(0, &[Slot::copy(from, to, 97)]);
            rig.announce(1);
            rig.run();
            proves!(model: M31; assert_eq!(rig.world.bytes(to, 97), rig.world.bytes(from, 97)));
        }
    }
}

#[test]
fn page_breaks_continue_at_the_second_page() {
    let second_source = SOURCE + 0x10_0000;
    let second_target = TARGET + 0x10_0000;
    for (source_break, target_break) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut rig = Rig::new();
        rig.world.fill(SOURCE, &pattern(4, 8192));
        rig.world.fill(second_source, &pattern(5, 4096));
        let control =
            Control::new().with_source_page_break(source_break).with_destination_page_break(target_break);
        let descriptor = Slot {
            next_source: second_source,
            next_target: second_target,
            ..Slot::copy(SOURCE, TARGET, 8192).with(control)
        };

        rig.execute(&[descriptor]);

        let tail_from = if source_break { second_source } else { SOURCE + 4096 };
        let tail_to = if target_break { second_target } else { TARGET + 4096 };
        proves!(model: M32;
            assert_eq!(rig.world.bytes(TARGET, 4096), rig.world.bytes(SOURCE, 4096));
            assert_eq!(rig.world.bytes(tail_to, 4096), rig.world.bytes(tail_from, 4096)));
    }
}

#[test]
fn page_breaks_at_odd_offsets_split_where_each_page_ends() {
    let (second_source, second_target) = (SOURCE + 0x10_0000, TARGET + 0x10_0000);
    let mut rig = Rig::new();
    rig.world.fill(SOURCE, &pattern(6, 4096));
    rig.world.fill(second_source, &pattern(7, 4096));
    let control = Control::new().with_source_page_break(true).with_destination_page_break(true);
    let descriptor = Slot {
        next_source: second_source,
        next_target: second_target,
        ..Slot::copy(SOURCE + 1000, TARGET + 3000, 4096).with(control)
    };

    rig.execute(&[descriptor]);

    let mut expected = rig.world.bytes(SOURCE + 1000, 3096).to_vec();
    expected.extend_from_slice(rig.world.bytes(second_source, 1000));
    let mut found = rig.world.bytes(TARGET + 3000, 1096).to_vec();
    found.extend_from_slice(rig.world.bytes(second_target, 3000));
    proves!(model: M32; assert_eq!(found, expected); assert_eq!(rig.world.bytes(TARGET + 4096, 8), [0; 8]));
}

#[test]
fn fills_repeat_the_pattern_from_the_start_of_the_destination() {
    let fill = 0x8877_6655_4433_2211_u64;
    for length in [8, 64, 1024, 50, 100, 89, 1 << 20] {
        let to = TARGET + 13;
        let mut rig = Rig::new();

        rig.execute(&[Slot::fill(fill, to, length)]);

        let expected: Vec<u8> = (0..length as usize).map(|n| fill.to_le_bytes()[n % 8]).collect();
        proves!(model: M33;
            assert!(rig.world.bytes(to, length as usize) == expected, "length {length}");
            assert_eq!(rig.world.bytes(to - 1, 1), [0]);
            assert_eq!(rig.world.bytes(to + u64::from(length), 1), [0]));
    }
}

#[test]
fn fill_keeps_its_phase_over_a_page_break() {
    let fill = 0x8877_6655_4433_2211_u64;
    let second = TARGET + 0x10_0000;
    let mut rig = Rig::new();
    let control = Control::new().with_destination_page_break(true);
    let descriptor = Slot { next_target: second, ..Slot::fill(fill, TARGET + 4091, 21).with(control) };

    rig.execute(&[descriptor]);

    let expected: Vec<u8> = (0..21).map(|n| fill.to_le_bytes()[n % 8]).collect();
    proves!(model: M33;
        assert_eq!(rig.world.bytes(TARGET + 4091, 5), &expected[..5]);
        assert_eq!(rig.world.bytes(second, 16), &expected[5..]));
}

#[test]
fn nulls_complete_and_touch_nothing() {
    for size in [1, 8] {
        let mut rig = Rig::new();
        // Stale addresses of a slot whose first word alone was rewritten (§3.7).
        let null = Slot { size, source: 0xBAD0, target: 0xBAD8, ..Slot::null() };

        let status = rig.execute(&[null]);

        proves!(model: M34;
            assert_eq!(status, Rig::sts(slot(0), State::Idle));
            assert_eq!(rig.world.word(crate::bench::WORD), Rig::sts(slot(0), State::Idle));
            assert_eq!(rig.error(), ChanErr(0)));
    }
}

#[test]
fn a_null_without_size_is_an_error_on_3_0() {
    let mut rig = Rig::of(0x3430, |_| {});

    rig.execute(&[Slot { size: 0, ..Slot::null() }]);

    proves!(model: M34; assert_eq!(rig.error(), ChanErr::LENGTH); assert_eq!(rig.status(), 3));
}

#[test]
fn sizes_of_zero_and_beyond_xfercap_are_length_errors() {
    for (size, xfercap) in [(0, 20), ((1 << 20) + 1, 20), (4097, 12)] {
        for descriptor in [Slot::copy(SOURCE, TARGET, size), Slot::fill(1, TARGET, size)] {
            let mut rig = Rig::of(0x6F20, |options| options.xfercap = xfercap);
            rig.execute(&[descriptor]);
            proves!(model: M35; assert_eq!(rig.error(), ChanErr::LENGTH, "size {size}"));
        }
    }
}

#[test]
fn unknown_and_ungated_operations_are_control_errors() {
    // All but copy and fill: reserved ones, and those whose capability is absent.
    for opcode in
        [0x02, 0x0A, 0x41, 0x81, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8B, 0xA0, 0xA1, 0xFE, 0xFF]
    {
        let mut rig = Rig::new();
        let control = RECORD.with_opcode(opcode).into_bits();
        rig.execute(&[Slot { control, ..Slot::copy(SOURCE, TARGET, 64) }]);
        proves!(model: M36; assert_eq!(rig.error(), ChanErr::CONTROL, "opcode {opcode:#x}"));
    }
    let mut rig = Rig::of(0x6F20, |options| options.capability.set_fill(false));
    rig.execute(&[Slot::fill(1, TARGET, 8)]);
    proves!(model: M36; assert_eq!(rig.error(), ChanErr::CONTROL, "fill without its capability"));
}

#[test]
fn unreachable_addresses_are_reported_by_side() {
    let above = 1 << 46;
    for (source, target, error) in [
        (0x1000, TARGET, ChanErr::SOURCE_ADDRESS),
        (SOURCE, 0x1000, ChanErr::DESTINATION_ADDRESS),
        (0x1000, 0x1000, ChanErr::SOURCE_ADDRESS),
        (above, TARGET, ChanErr::SOURCE_ADDRESS),
        (SOURCE, above, ChanErr::DESTINATION_ADDRESS),
        (0xFFFF_0000_0000_0000, 0xFFFF_0000_0000_0000, ChanErr::SOURCE_ADDRESS),
        (u64::MAX, TARGET, ChanErr::SOURCE_ADDRESS),
    ] {
        let mut rig = Rig::new();
        rig.execute(&[Slot::copy(source, target, 1)]);
        proves!(model: M38; assert_eq!(rig.error(), error, "{source:#x} to {target:#x}"));
    }
}

#[test]
fn injected_memory_errors_are_reported_as_data_errors() {
    for (name, error) in [("read-data", ChanErr::READ_DATA), ("write-data", ChanErr::WRITE_DATA)] {
        let mut rig = Rig::with_faults(&format!("halt descriptor=2 error={name}"));

        let status = rig.execute(&[Slot::null(), Slot::copy(SOURCE, TARGET, 8), Slot::null()]);

        proves!(model: M38; assert_eq!(rig.error(), error); assert_eq!(status, slot(0) | 3));
    }
}

#[test]
fn a_failed_copy_leaves_earlier_ones_whole_and_stays_in_its_range() {
    let end = MEMORY + crate::bench::MEMORY_SIZE as u64;
    let mut rig = Rig::new();
    rig.world.fill(SOURCE, &pattern(8, 16384));

    // The second copy's source runs off the end of memory after two pages.
    rig.execute(&[Slot::copy(SOURCE, TARGET, 5000), Slot::copy(end - 8192, TARGET + 8192, 12288)]);

    proves!(model: M39;
        assert_eq!(rig.error(), ChanErr::SOURCE_ADDRESS);
        assert_eq!(rig.world.bytes(TARGET, 5000), rig.world.bytes(SOURCE, 5000));
        assert_eq!(rig.world.bytes(TARGET + 5000, 3192), vec![0; 3192]);
        assert_eq!(rig.world.bytes(TARGET + 8192 + 12288, 4096), vec![0; 4096]));
}

#[test]
fn a_descriptor_behind_a_fence_reads_what_the_fenced_one_wrote() {
    for fine in [false, true] {
        let timing = Timing { fine, completion_lag: 700, ..Timing::default() };
        let mut rig = Rig::of(0x6F20, |options| options.timing = timing);
        rig.world.fill(SOURCE, &pattern(9, 9000));
        let fence = Control::new().with_fence(true);

        rig.execute(&[
            Slot::copy(SOURCE, TARGET, 9000).with(fence),
            Slot::copy(TARGET, TARGET + 0x8000, 9000).with(fence),
            Slot::copy(TARGET + 0x8000, TARGET + 0x10000, 9000),
        ]);

        proves!(model: M40; assert!(rig.world.bytes(TARGET + 0x10000, 9000) == rig.world.bytes(SOURCE, 9000)));
    }
}
