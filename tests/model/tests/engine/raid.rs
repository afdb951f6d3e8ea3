//! XOR and PQ, where they are advertised.

use ioat_model::Options;
use ioat_regs::{ChanErr, Control, Opcode, State};
use proof::proves;

use crate::bench::{RECORD, RING, Rig, SOURCE, Slot, TARGET, WORD, pattern, slot};

const LENGTH: u32 = 5000;

fn rig() -> Rig {
    Rig::of(0x0B00, |options: &mut Options| {
        options.capability.set_xor(true);
        options.capability.set_pq(true);
    })
}

/// The eight words of a slot, in memory.
fn put_words(rig: &mut Rig, at: u64, words: [u64; 8]) {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    rig.world.fill(at, &bytes);
}

fn head(opcode: Opcode, sources: usize, extra: Control) -> u64 {
    let control = extra.with_opcode(opcode.0).into_bits() | ((sources as u32 - 2) << 5);
    u64::from(LENGTH) | (u64::from(control) << 32)
}

/// XOR base and extension in slots 0 and 1, a null with record behind them. Returns the slots used.
fn put_xor(rig: &mut Rig, opcode: Opcode, sources: &[u64], target: u64) -> u16 {
    let at = |number: usize| sources.get(number).copied().unwrap_or(0xBAD0);
    let base =
        [head(opcode, sources.len(), Control::new()), at(0), target, slot(1), at(1), at(2), at(3), at(4)];
    put_words(rig, slot(0), base);
    let extended = sources.len() > 5;
    if extended {
        put_words(rig, slot(1), [at(5), at(6), at(7), slot(2), 0, 0, 0, 0]);
    }
    let slots = 1 + u16::from(extended);
    rig.put(slots.into(), &[Slot::null()]);
    slots + 1
}

fn blocks(rig: &mut Rig, count: usize) -> Vec<u64> {
    (0..count as u64)
        .map(|number| {
            let address = SOURCE + number * 0x4000 + number;
            rig.world.fill(address, &pattern(number + 50, LENGTH as usize));
            address
        })
        .collect()
}

fn xor_of(rig: &Rig, sources: &[u64]) -> Vec<u8> {
    let mut result = vec![0; LENGTH as usize];
    for &source in sources {
        for (sum, byte) in result.iter_mut().zip(rig.world.bytes(source, LENGTH as usize)) {
            *sum ^= byte;
        }
    }
    result
}

/// Product in GF(2^8) by discrete logarithms: another way than the model's.
fn product(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 {
        return 0;
    }
    let mut powers = vec![1u16];
    for _ in 1..255 {
        let doubled = powers[powers.len() - 1] << 1;
        powers.push(if doubled & 0x100 != 0 { doubled ^ 0x11D } else { doubled });
    }
    let log = |value: u8| powers.iter().position(|&power| power == u16::from(value)).unwrap();
    powers[(log(a) + log(b)) % 255] as u8
}

fn q_of(rig: &Rig, sources: &[u64], coefficients: &[u8]) -> Vec<u8> {
    let mut result = vec![0; LENGTH as usize];
    for (&source, &coefficient) in sources.iter().zip(coefficients) {
        let table: Vec<u8> = (0..=255).map(|byte| product(byte, coefficient)).collect();
        for (sum, byte) in result.iter_mut().zip(rig.world.bytes(source, LENGTH as usize)) {
            *sum ^= table[usize::from(*byte)];
        }
    }
    result
}

#[test]
fn xor_of_two_to_eight_sources_equals_software() {
    for count in 2..=8 {
        let mut rig = rig();
        let sources = blocks(&mut rig, count);
        rig.bring_up();
        let slots = put_xor(&mut rig, Opcode::XOR, &sources, TARGET + 3);
        let before = rig.world.bytes(slot(0), 128).to_vec();
        rig.announce(slots);
        rig.run();

        proves!(model: M41;
            assert_eq!(rig.status(), Rig::sts(slot(u64::from(slots) - 1), State::Idle));
            assert!(rig.world.bytes(TARGET + 3, LENGTH as usize) == xor_of(&rig, &sources));
            assert_eq!(rig.world.bytes(slot(0), 128), before, "descriptors are not modified"));
    }
}

#[test]
fn an_extended_operation_costs_two_counts_and_reports_its_base() {
    let mut rig = rig();
    let sources = blocks(&mut rig, 6);
    rig.bring_up();
    put_xor(&mut rig, Opcode::XOR, &sources, TARGET);

    rig.announce(2);
    rig.run();

    proves!(model: M41; assert_eq!(rig.status(), Rig::sts(slot(0), State::Idle)));
    rig.announce(3);
    rig.run();
    proves!(model: M41; assert_eq!(rig.status(), Rig::sts(slot(2), State::Idle)));
}

#[test]
fn an_extension_beyond_the_count_is_a_count_error() {
    let mut rig = rig();
    let sources = blocks(&mut rig, 6);
    rig.bring_up();
    put_xor(&mut rig, Opcode::XOR, &sources, TARGET);

    rig.announce(1);
    rig.run();

    assert_eq!(rig.error(), ChanErr::COUNT);
}

#[test]
fn xor_validation_passes_or_halts_with_its_one_bit() {
    let mut rig = rig();
    let sources = blocks(&mut rig, 6);
    rig.bring_up();
    let expected = xor_of(&rig, &sources);
    rig.world.fill(TARGET, &expected);
    let slots = put_xor(&mut rig, Opcode::XOR_VALIDATE, &sources, TARGET);
    rig.announce(slots);
    rig.run();
    proves!(model: M42; assert_eq!(rig.error(), ChanErr(0)); assert_eq!(rig.status() & 7, 1));

    rig.world.fill(TARGET + 4999, &[!expected[4999]]);
    rig.set_chain(RING);
    rig.announce(slots);
    rig.run();
    proves!(model: M42;
        assert_eq!(rig.error(), ChanErr::CRC_XOR_P);
        assert_eq!(rig.world.word(WORD), 3, "the one before the failing one: none in this chain"));
}

/// A PQ base in slot 0, its extension in slot 1 if it needs one; returns the slots used.
fn put_pq(
    rig: &mut Rig,
    opcode: Opcode,
    sources: &[u64],
    coefficients: [u8; 8],
    p: u64,
    q: u64,
    extra: Control,
) -> u16 {
    let at = |number: usize| sources.get(number).copied().unwrap_or(0xBAD0);
    let first = head(opcode, sources.len(), extra);
    put_words(rig, slot(0), [first, at(0), p, slot(1), at(1), at(2), u64::from_le_bytes(coefficients), q]);
    if sources.len() > 3 {
        put_words(rig, slot(1), [at(3), at(4), at(5), slot(2), at(6), at(7), 0, 0]);
    }
    1 + u16::from(sources.len() > 3)
}

#[test]
fn p_and_q_of_two_to_eight_sources_equal_software() {
    for count in 2..=8 {
        let mut rig = rig();
        let sources = blocks(&mut rig, count);
        let coefficients = [1, 2, 4, 8, 16, 32, 64, 128];
        let (p, q) = (TARGET, TARGET + 0x8000);
        rig.bring_up();
        let slots = put_pq(&mut rig, Opcode::PQ, &sources, coefficients, p, q, RECORD);
        rig.announce(slots);
        rig.run();

        proves!(model: M41;
            assert_eq!(rig.world.word(WORD), Rig::sts(slot(0), State::Idle), "the record carries the base");
            assert!(rig.world.bytes(p, LENGTH as usize) == xor_of(&rig, &sources));
            assert!(rig.world.bytes(q, LENGTH as usize) == q_of(&rig, &sources, &coefficients)));
    }
}

#[test]
fn destinations_may_be_sources_too_and_either_may_be_left_out() {
    let mut rig = rig();
    let sources = blocks(&mut rig, 2);
    let (p, q) = (TARGET, TARGET + 0x8000);
    rig.world.fill(p, &pattern(90, LENGTH as usize));
    rig.world.fill(q, &pattern(91, LENGTH as usize));
    // A continuation as Linux writes it: old P with coefficient 0, old Q twice with 1 and 0.
    let all = [sources[0], sources[1], p, q, q];
    let coefficients = [4, 8, 0, 1, 0, 0, 0, 0];
    let (expected_p, expected_q) = (xor_of(&rig, &all), q_of(&rig, &all, &coefficients));
    rig.bring_up();
    let slots = put_pq(&mut rig, Opcode::PQ, &all, coefficients, p, q, RECORD);
    rig.announce(slots);
    rig.run();
    proves!(model: M41;
        assert!(rig.world.bytes(p, LENGTH as usize) == expected_p);
        assert!(rig.world.bytes(q, LENGTH as usize) == expected_q));

    let kept = rig.world.bytes(p, LENGTH as usize).to_vec();
    rig.set_chain(RING);
    put_pq(&mut rig, Opcode::PQ, &sources, [2; 8], p, q, RECORD.with_no_p(true));
    rig.announce(1);
    rig.run();
    proves!(model: M41;
        assert!(rig.world.bytes(p, LENGTH as usize) == kept, "P is suppressed");
        assert!(rig.world.bytes(q, LENGTH as usize) == q_of(&rig, &sources, &[2; 8])));
}

#[test]
fn pq_validation_says_which_of_the_two_is_wrong() {
    for (spoil_p, spoil_q, error) in [
        (false, false, ChanErr(0)),
        (true, false, ChanErr::CRC_XOR_P),
        (false, true, ChanErr::Q),
        (true, true, ChanErr::CRC_XOR_P.union(ChanErr::Q)),
    ] {
        let mut rig = rig();
        let sources = blocks(&mut rig, 3);
        let (p, q) = (TARGET, TARGET + 0x8000);
        let mut p_bytes = xor_of(&rig, &sources);
        let mut q_bytes = q_of(&rig, &sources, &[1, 2, 4]);
        p_bytes[0] ^= u8::from(spoil_p);
        q_bytes[4999] ^= u8::from(spoil_q);
        rig.world.fill(p, &p_bytes);
        rig.world.fill(q, &q_bytes);
        rig.bring_up();
        put_pq(&mut rig, Opcode::PQ_VALIDATE, &sources, [1, 2, 4, 0, 0, 0, 0, 0], p, q, RECORD);
        rig.announce(1);
        rig.run();
        proves!(model: M42; assert_eq!(rig.error(), error));
    }
}

#[test]
fn no_product_advertises_raid_and_then_it_is_refused() {
    for row in ioat_regs::device::DEVICES {
        let capability = row.platform.capability;
        assert!(!capability.xor() && !capability.pq(), "{:04x}", row.device);
    }
}

#[test]
fn capabilities_that_the_model_does_not_execute_are_refused() {
    let mut options = Options::new(0x8086, 0x0B00).unwrap();
    options.capability.set_crc(true);

    let error = ioat_model::Engine::new(options).err().unwrap().to_string();

    assert!(error.contains("does not execute capabilities 0x00000002"), "{error}");
}
