//! Completion words and halts: what is reported, when, and in which order.

use ioat_model::Timing;
use ioat_regs::{ChanErr, ChanSts, State};
use proof::proves;

use crate::bench::{Event, INTERRUPT, RING, Rig, SOURCE, Slot, TARGET, WORD, pattern, slot};

#[test]
fn the_word_is_one_store_after_the_data_and_before_the_interrupt() {
    let mut rig = Rig::new();
    rig.enable_msix();

    rig.execute(&[Slot::copy(SOURCE, TARGET, 64).with(INTERRUPT)]);

    proves!(model: M43; assert_eq!(rig.world.events, [
        Event::Read(RING, 64),
        Event::Read(SOURCE, 64),
        Event::Write(TARGET, 64),
        Event::Store(WORD, Rig::sts(RING, State::Idle)),
        Event::Message(0xFEE0_0000, 0x41),
    ]));
}

#[test]
fn only_descriptors_that_ask_for_it_write_the_word() {
    let mut rig = Rig::new();

    rig.execute(&[Slot::null(), Slot::null().without_record(), Slot::null(), Slot::null().without_record()]);

    let words: Vec<u64> = rig
        .world
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Store(_, word) => Some(*word),
            _ => None,
        })
        .collect();
    proves!(model: M43, M44;
        assert_eq!(words, [Rig::sts(slot(0), State::Active), Rig::sts(slot(2), State::Active)]);
        assert!(words.iter().all(|word| word & 0x38 == 0)));
    proves!(model: M45; assert_eq!(rig.status(), Rig::sts(slot(3), State::Idle)));
}

#[test]
fn status_follows_every_descriptor() {
    let timing = Timing { per_descriptor: 100, ..Timing::default() };
    let mut rig = Rig::of(0x6F20, |options| options.timing = timing);
    rig.bring_up();
    rig.put(0, &[Slot::null().without_record(); 5]);
    rig.announce(5);

    let mut seen = Vec::new();
    for _ in 0..5 {
        rig.run_now();
        rig.world.now += 100;
        seen.push(rig.status());
    }
    rig.run();
    seen.push(rig.status());

    let expected: Vec<u64> =
        (0..6).map(|n: u64| if n == 0 { 0 } else { slot(n - 1) | u64::from(n == 5) }).collect();
    proves!(model: M45; assert_eq!(seen, expected));
}

#[test]
fn an_error_reports_the_last_success() {
    let bad = Slot::copy(0x40, TARGET, 8);
    for good in [0, 1, 3] {
        let mut rig = Rig::new();
        let mut slots = vec![Slot::null().without_record(); good];
        slots.extend([bad, Slot::null()]);

        rig.execute(&slots);

        let expected = if good == 0 { 3 } else { slot(good as u64 - 1) | 3 };
        proves!(model: M46;
            assert_eq!(rig.status(), expected);
            assert_eq!(rig.world.word(WORD), expected);
            assert_eq!(rig.error(), ChanErr::SOURCE_ADDRESS));
    }
}

#[test]
fn spdks_control_value_gets_no_error_word_and_no_interrupt() {
    let mut rig = Rig::new();
    rig.enable_msix();
    rig.bring_up();
    rig.control(0x0008.into());
    rig.put(0, &[Slot::copy(0x40, TARGET, 8)]);
    rig.announce(1);
    rig.run();

    proves!(model: M46, M48;
        assert_eq!(rig.status(), 3);
        assert_eq!(rig.world.word(WORD), 0);
        assert_eq!(rig.world.messages(), 0));
}

#[test]
fn a_masked_error_does_not_halt() {
    let mut rig = Rig::new();
    rig.bring_up();
    rig.channel_write(0x2C, 4, 1);
    rig.put(0, &[Slot::copy(0x40, TARGET, 8), Slot::null()]);
    rig.announce(2);
    rig.run();

    proves!(model: M46; assert_eq!(rig.status(), Rig::sts(slot(1), State::Idle)));
}

#[test]
fn lagging_words_keep_their_order_and_their_place_before_the_interrupt() {
    let timing = Timing { completion_lag: 5000, ..Timing::default() };
    let mut rig = Rig::of(0x6F20, |options| options.timing = timing);
    rig.enable_msix();
    rig.bring_up();
    rig.put(0, &[Slot::null(), Slot::null(), Slot::null().with(INTERRUPT)]);
    rig.announce(3);

    rig.run_now();
    assert_eq!(rig.status(), Rig::sts(slot(2), State::Idle), "the engine itself does not wait");
    assert_eq!(rig.world.word(WORD), 0);
    rig.run();

    let writes: Vec<&Event> = rig
        .world
        .events
        .iter()
        .filter(|event| matches!(event, Event::Store(..) | Event::Message(..)))
        .collect();
    proves!(model: M43;
    assert!(rig.world.now >= 5000);
    assert_eq!(writes, [
        &Event::Store(WORD, Rig::sts(slot(0), State::Active)),
        &Event::Store(WORD, Rig::sts(slot(1), State::Active)),
        &Event::Store(WORD, Rig::sts(slot(2), State::Idle)),
        &Event::Message(0xFEE0_0000, 0x41),
    ]));
}

#[test]
fn disorder_changes_the_time_but_not_the_result() {
    let words = |seed| {
        let timing = Timing {
            per_descriptor: 300,
            per_byte: 400,
            completion_lag: 900,
            jitter: 5000,
            fine: true,
            seed,
            ..Timing::default()
        };
        let mut rig = Rig::of(0x6F20, |options| options.timing = timing);
        rig.world.fill(SOURCE, &pattern(10, 10_000));
        let slots: Vec<Slot> = (0..20).map(|n| Slot::copy(SOURCE + n * 500, TARGET + n * 500, 500)).collect();
        let status = rig.execute(&slots);
        assert_eq!(ChanSts(status).address(), slot(19));
        assert!(rig.world.bytes(TARGET, 10_000) == rig.world.bytes(SOURCE, 10_000));
        (rig.world.now, rig.world.events)
    };

    proves!(model: M60;
        assert_eq!(words(7), words(7), "the same seed gives the same run");
        assert_ne!(words(7).0, words(8).0, "another seed another one"));
}
