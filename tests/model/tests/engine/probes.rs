//! What the drivers of others do at their cold start and in their own tests, replayed access by access (§5.1 to §5.5).
//!
//! These are our retellings, not the drivers: Linux and DPDK themselves run in virtual machines (tests/vm); FreeBSD,
//! SPDK and illumos run nowhere here, and these tests are all that stands for them.

use ioat_model::Timing;
use ioat_regs::{ChanErr, config};
use proof::proves;

use crate::bench::{RECORD, RING, Rig, SOURCE, Slot, TARGET, WORD, pattern, slot};

/// Time passes and the engine works while a driver polls.
fn poll(rig: &mut Rig, nanoseconds: u64) {
    rig.world.now += nanoseconds;
    rig.run_now();
}

/// Reads `offset` of channel 0 every `pause` until `done`, at most `tries` times.
fn poll_until(rig: &mut Rig, tries: u32, pause: u64, offset: u32, done: impl Fn(u64) -> bool) -> Option<u64> {
    (0..tries).find_map(|_| {
        poll(rig, pause);
        let value = rig.channel_read(offset, 8);
        done(value).then_some(value)
    })
}

/// SUSPEND if the channel works, W1C of both error registers, RESET: how Linux, FreeBSD and SPDK begin.
fn quiesce(rig: &mut Rig, limit: u32) {
    if rig.channel_read(0x08, 8) & 7 < 2 {
        rig.channel_write(0x04, 1, 0x04);
        assert!(poll_until(rig, limit, 1_000_000, 0x08, |status| status & 7 >= 2).is_some(), "suspend");
    }
    let error = rig.channel_read(0x28, 4);
    rig.channel_write(0x28, 4, error);
    let second = rig.engine.config_read(config::CHANERR_INT, 4);
    rig.engine.config_write(config::CHANERR_INT, 4, second);
    rig.channel_write(0x04, 1, 0x20);
    assert!(poll_until(rig, limit, 1_000_000, 0x00, |block| block >> 32 & 0x20 == 0).is_some(), "reset");
}

fn linux(rig: &mut Rig) {
    assert!(rig.read(0x08, 1) >= 0x30);
    assert!((1..=4).contains(&(rig.read(0x00, 1) & 0x1F)) && rig.read(0x01, 1) & 0x1F != 0);
    quiesce(rig, 100);
    rig.write(0x03, 1, 0x09);
    rig.channel_write(0x00, 2, 0x001D);
    rig.channel_write(0x18, 4, WORD & 0xFFFF_FFFF);
    rig.channel_write(0x1C, 4, WORD >> 32);
    if rig.read(0x08, 1) >= 0x34 {
        rig.channel_write(0xC0, 4, 0x8800);
        rig.channel_write(0xC4, 4, 0x8A58);
        rig.channel_write(0xBC, 1, 0);
    }
    rig.channel_write(0x10, 4, RING & 0xFFFF_FFFF);
    rig.channel_write(0x14, 4, RING >> 32);
    rig.put(0, &[Slot { size: 1, ..Slot::null() }]);
    rig.channel_write(0x06, 2, 1);
    assert!(poll_until(rig, 21, 1000, 0x08, |status| status & 7 < 2).is_some(), "active or idle in 21 µs");
    rig.channel_write(0x30, 4, 0xFFFF_FFFF);
}

fn freebsd(rig: &mut Rig) {
    assert!(rig.read(0x08, 1) >= 0x30);
    rig.write(0x03, 1, 0x01);
    rig.engine.config_write(config::CHANERRMSK_INT, 4, 0x3E07);
    quiesce(rig, 20);
    assert!(rig.channel_read(0x08, 8) & 7 >= 2, "neither active nor idle after the reset");
    assert_eq!(rig.channel_read(0x28, 4), 0, "no error left");
    rig.channel_write(0x00, 2, 0x0009);
    rig.set_word(WORD);
    rig.set_chain(RING);
    rig.world.fill(WORD, &slot(4095).to_le_bytes());
    rig.put(0, &[Slot::null()]);
    rig.channel_write(0x06, 2, 1);
    assert!(poll_until(rig, 100, 1000, 0x08, |status| status & 7 == 1).is_some(), "idle in 100 µs");
    assert!(rig.world.word(WORD) & !0x3F >= RING, "the record lies in the ring");
    rig.channel_write(0x00, 2, 0x0009);
}

fn spdk(rig: &mut Rig) {
    let command = rig.engine.config_read(config::COMMAND, 4);
    rig.engine.config_write(config::COMMAND, 4, command | 4);
    assert!(rig.read(0x08, 1) >= 0x30);
    assert!(rig.read(0x01, 1) & 0x1F >= 12);
    quiesce(rig, 20);
    rig.channel_write(0x00, 2, 0x0008);
    rig.channel_write(0x18, 8, WORD);
    rig.channel_write(0x10, 8, RING);
    rig.put(0, &[Slot::null()]);
    rig.channel_write(0x06, 2, 1);
    assert!(poll_until(rig, 100, 100_000, 0x08, |status| status & 7 == 1).is_some(), "idle in 10 ms");
}

/// DPDK: no configuration space, CHAINADDR before CHANCMP, no null.
fn dpdk(rig: &mut Rig) {
    if rig.channel_read(0x00, 2) & 0x100 != 0 {
        rig.channel_write(0x00, 2, 0);
    }
    let error = rig.channel_read(0x28, 4);
    if error != 0 {
        rig.channel_write(0x28, 4, error);
    }
    rig.channel_write(0x04, 1, 0x04);
    poll(rig, 1_000_000);
    rig.channel_write(0x04, 1, 0x20);
    poll(rig, 1_000_000);
    for _ in 0..200 {
        if rig.channel_read(0x04, 1) & 0x20 == 0 {
            break;
        }
        rig.channel_write(0x10, 8, 0);
        poll(rig, 1_000_000);
    }
    start_dpdk(rig);
}

fn start_dpdk(rig: &mut Rig) {
    rig.channel_write(0x10, 8, RING);
    rig.channel_write(0x18, 8, WORD);
    rig.channel_write(0x00, 2, 0x000C);
    assert_ne!(rig.channel_read(0x08, 8) & 7, 3, "halted at start");
}

fn stop_dpdk(rig: &mut Rig) {
    let busy = rig.channel_read(0x08, 8) & 7 < 2;
    rig.channel_write(0x04, 1, if busy { 0x04 } else { 0x20 });
    assert!(
        poll_until(rig, 200, 1000, 0x08, |status| matches!(status & 7, 2 | 3)).is_some(),
        "suspended or halted in 200 reads"
    );
}

/// Copies `count` blocks behind what the ring holds already and verifies them.
fn copies(rig: &mut Rig, done: u64, count: u64) {
    let length = 700;
    for number in 0..count {
        rig.world.fill(SOURCE + number * 1024 + number, &pattern(number + 1, length));
        rig.put(
            done + number,
            &[Slot::copy(SOURCE + number * 1024 + number, TARGET + number * 1024, length as u32)],
        );
    }
    rig.channel_write(0x06, 2, done + count);
    rig.run();
    assert_eq!(rig.world.word(WORD) & !0x3F, slot(done + count - 1));
    for number in 0..count {
        assert!(rig.world.bytes(TARGET + number * 1024, length) == pattern(number + 1, length));
    }
}

type Probe = fn(&mut Rig);
/// Each driver with what its start leaves in the ring.
const PROBES: [(&str, Probe, u64); 4] =
    [("linux", linux, 1), ("freebsd", freebsd, 1), ("spdk", spdk, 1), ("dpdk", dpdk, 0)];
const PROFILES: [u16; 5] = [0x2021, 0x6F20, 0x0B00, 0x6F50, 0x3430];

#[test]
fn every_drivers_cold_start_ends_with_working_copies_on_every_profile() {
    for device in PROFILES {
        for (name, probe, done) in PROBES {
            let mut rig = Rig::of(device, |_| {});
            probe(&mut rig);
            copies(&mut rig, done, 16);
            assert_eq!(rig.error(), ChanErr(0), "{name} on {device:04x}");
            proves!(model: M56, M57, M58; assert_eq!(rig.status() & 7, 1));
        }
    }
}

#[test]
fn a_driver_may_leave_at_any_moment_and_any_driver_may_come_after_it() {
    let mut rig = Rig::of(0x6F20, |options| options.timing.per_descriptor = 900);
    for round in 0..100_usize {
        let (_, probe, done) = PROBES[round % 4];
        probe(&mut rig);
        // Killed in the middle of its work: no suspend, no reset, descriptors in flight, sometimes an error.
        rig.put(done, &[Slot::copy(SOURCE, TARGET, 64); 8]);
        if round % 3 == 0 {
            rig.put(done + 5, &[Slot::copy(0x40, TARGET, 64)]);
        }
        rig.channel_write(0x06, 2, done + 8);
        for _ in 0..round % 20 {
            poll(&mut rig, 450);
        }
        // DPDK never clears the second copy of the error before 3.3, so one that does comes after an error.
        if round % 4 == 2 {
            rig.run();
            linux(&mut rig);
        }
    }
    linux(&mut rig);
    copies(&mut rig, 1, 16);
    proves!(model: M59; assert_eq!(rig.error(), ChanErr(0)));
}

#[test]
fn cold_starts_work_whatever_the_delays_within_their_limits() {
    for seed in 1..40 {
        for (_, probe, done) in PROBES {
            let timing = Timing {
                per_descriptor: 300,
                completion_lag: 400,
                interrupt_lag: 2000,
                suspend: 200_000,
                reset: 300_000,
                jitter: 5000,
                fine: seed % 2 == 0,
                seed,
                ..Timing::default()
            };
            let mut rig = Rig::of(0x2021, |options| options.timing = timing);
            probe(&mut rig);
            copies(&mut rig, done, 16);
            proves!(model: M60; assert_eq!(rig.error(), ChanErr(0)));
        }
    }
}

#[test]
fn dpdk_stops_and_starts_without_work_in_between() {
    let mut rig = Rig::new();
    dpdk(&mut rig);
    for _ in 0..4 {
        stop_dpdk(&mut rig);
        start_dpdk(&mut rig);
        proves!(model: M58; assert_eq!(rig.status(), 4));
    }
    copies(&mut rig, 0, 4);
    stop_dpdk(&mut rig);
    proves!(model: M58; assert_eq!(rig.status() & 7, 2));
}

#[test]
fn dpdks_error_burst_completes_exactly_what_came_before_and_recovers_the_rest() {
    for bad in [0, 7, 14, 15] {
        let mut rig = Rig::of(0x0B00, |options| options.timing.start_delay = 30_000_000);
        dpdk(&mut rig);
        let slots: Vec<Slot> =
            (0..16).map(|n| Slot::copy(if n == bad { 0 } else { SOURCE }, TARGET + 64 * n, 64)).collect();
        rig.put(0, &slots);
        rig.channel_write(0x06, 2, 16);
        rig.run();
        let last_good = if bad == 0 { 0 } else { slot(bad - 1) };
        assert_eq!(rig.world.word(WORD), last_good | 3);
        assert_ne!(rig.error(), ChanErr(0));

        let error = rig.error().0;
        rig.channel_write(0x28, 4, error.into());
        rig.channel_write(0x04, 1, 0x20);
        rig.channel_write(0x10, 8, slot(bad + 1));
        rig.channel_write(0x00, 2, 0x000C);
        rig.channel_write(0x18, 8, WORD);
        let ready = poll_until(&mut rig, 200, 100, 0x08, |status| status == 4);
        rig.channel_write(0x06, 2, 15 - bad);
        rig.run();

        let rest = if bad == 15 { 4 } else { slot(15) | 1 };
        proves!(model: M47, M58, M61; assert!(ready.is_some()); assert_eq!(rig.status(), rest, "bad {bad}"));
    }
}

#[test]
fn freebsds_injected_fault_halts_with_an_address_error_and_its_reset_recovers() {
    let mut rig = Rig::new();
    freebsd(&mut rig);
    let nowhere = 0xFFFF_0000_0000_0000;
    rig.put(1, &[Slot::copy(nowhere, nowhere, 1)]);
    rig.channel_write(0x06, 2, 2);
    rig.run();
    proves!(model: M56; assert_eq!(rig.error(), ChanErr::SOURCE_ADDRESS); assert_eq!(rig.status() & 7, 3));

    freebsd(&mut rig);
    copies(&mut rig, 1, 8);
    proves!(model: M56; assert_eq!(rig.error(), ChanErr(0)));
}

#[test]
fn a_doorbell_with_nothing_new_is_no_event() {
    let mut rig = Rig::new();
    freebsd(&mut rig);
    for _ in 0..10 {
        rig.channel_write(0x06, 2, 1);
        rig.run();
    }
    proves!(model: M28, M56; assert_eq!(rig.status(), slot(0) | 1));
}

#[test]
fn linux_xor_self_test_passes_validates_and_fails_when_it_should() {
    let mut rig = Rig::of(0x0B00, |options| options.capability.set_xor(true));
    linux(&mut rig);
    let block = |n: u64| SOURCE + n * 0x1000;
    for n in 0..6 {
        rig.world.fill(block(n), &[1 << n; 4096]);
    }
    let base = |opcode: u32, q2: u64, listed: [u64; 6], next: u64| -> Vec<u8> {
        let head = 4096 | (u64::from((opcode << 24) | (4 << 5)) << 32);
        let words = [head, listed[0], q2, next, listed[1], listed[2], listed[3], listed[4]];
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    };
    let run = |rig: &mut Rig, at: u64, opcode: u32, q2: u64, listed: [u64; 6]| {
        rig.world.fill(slot(at), &base(opcode, q2, listed, slot(at + 1)));
        let extension = Slot { next: slot(at + 2), ..Slot::default() };
        rig.world.fill(slot(at + 1), &extension.bytes());
        rig.world.fill(slot(at + 1), &listed[5].to_le_bytes());
        rig.put(
            at + 2,
            &[Slot {
                size: 1,
                control: RECORD.with_null(true).with_interrupt(true).into_bits(),
                ..Slot::default()
            }],
        );
        rig.channel_write(0x06, 2, at + 3);
        rig.run();
    };
    let sources = [block(0), block(1), block(2), block(3), block(4), block(5)];
    run(&mut rig, 1, 0x87, TARGET, sources);
    proves!(model: M55; assert!(rig.world.bytes(TARGET, 4096).iter().all(|&byte| byte == 0x3F)));

    // Validate takes seven inputs: the first in the place of the destination, six listed.
    let rest = [block(1), block(2), block(3), block(4), block(5), TARGET];
    run(&mut rig, 4, 0x88, block(0), rest);
    proves!(model: M55, M42; assert_eq!(rig.error(), ChanErr(0)); assert_eq!(rig.status(), slot(6) | 1));

    rig.world.fill(TARGET, &[0; 4096]);
    run(&mut rig, 7, 0x88, block(0), rest);
    proves!(model: M55, M42;
        assert_eq!(rig.error(), ChanErr::CRC_XOR_P);
        assert_eq!(rig.world.word(WORD), slot(6) | 3, "points at the descriptor before"));
}

#[test]
fn ten_thousand_driver_copies_with_interrupts_need_no_timer() {
    const SLOTS: u64 = 256;
    let mut rig = Rig::new();
    rig.enable_msix();
    rig.bring_up();
    for number in 0..SLOTS {
        let next = slot((number + 1) % SLOTS);
        let copy = Slot {
            next,
            ..Slot::copy(SOURCE + number, TARGET + 64 * number, 61).with(crate::bench::INTERRUPT)
        };
        rig.world.fill(slot(number), &copy.bytes());
    }
    rig.world.fill(SOURCE, &pattern(5, 1024));
    let (mut submitted, mut served, mut interrupts) = (0_u64, 0_u64, 0);
    while served < 10_000 {
        // A client keeps a few copies under way; the handler runs only when a message came.
        while submitted - served < 8 && submitted < 10_000 {
            submitted += 1;
            rig.announce(submitted as u16);
        }
        rig.run_now();
        assert!(rig.world.messages() > interrupts, "a message is missing at {served}");
        interrupts = rig.world.messages();
        let last = (rig.world.word(WORD) & !0x3F) - RING;
        served += ((last / 64 + SLOTS) - served % SLOTS) % SLOTS + 1;
        rig.control(ioat_regs::channel::CHANCTRL_RUN);
        rig.world.events.retain(|event| matches!(event, crate::bench::Event::Message(..)));
    }
    proves!(model: M54, M49; assert_eq!(rig.engine.channel_statistics(0).unwrap().copies, 10_000));
}
