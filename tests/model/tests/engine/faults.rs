//! Fault plans: their text, and that each does what it says and nothing else.

use ioat_model::{FAULTS, FaultPlan, Progress};
use ioat_regs::{ChanCmd, ChanErr, State, channel::CHANCTRL_RUN, config};
use proof::proves;

use crate::bench::{Event, INTERRUPT, MEMORY, Rig, SOURCE, Slot, TARGET, WORD, pattern, slot};

#[test]
fn a_plan_reads_back_as_it_was_written() {
    let text = "flip-bit copy=*/100 bit=9\n\
                skip-copy copy=3\n\
                early-completion descriptor=5 steps=64\n\
                drop-interrupt interrupt=2+\n\
                spurious-interrupt descriptor=*\n\
                stuck-interrupt interrupt=4\n\
                halt descriptor=7 error=read-data\n\
                removed access=1000\n\
                lost-completion completion=1\n\
                late-completion completion=2 by=5000\n\
                torn-completion completion=3\n\
                foreign-completion completion=4 address=0xdead0000\n\
                backward-completion completion=5\n\
                endless-reset reset=2\n\
                endless-suspend suspend=1\n\
                halted-at-start error=chipset-integrity\n\
                running-at-start\n\
                config-unreachable\n\
                defect name=lost-latch\n";

    let plan: FaultPlan = text.parse().unwrap();

    assert_eq!(plan.to_string(), text);
    assert_eq!(plan.faults.len(), FAULTS.len(), "every kind of fault is here");
}

#[test]
fn comments_semicolons_and_blank_lines_separate() {
    let plan: FaultPlan =
        "# nothing\n\n skip-copy copy=1; halt error=q descriptor=2 # order is free\n".parse().unwrap();

    assert_eq!(plan.to_string(), "skip-copy copy=1\nhalt descriptor=2 error=q\n");
}

#[test]
fn a_bad_plan_names_line_fault_and_remedy() {
    for (text, expected) in [
        ("skip-copy", "fault plan, line 1: `skip-copy` needs copy=; write `skip-copy copy=N`"),
        ("\nskip-copy copy=0", "fault plan, line 2: copy=0: write 5, 5+, */5 or *, counting from one"),
        ("skip-copy copy=x", "fault plan, line 1: copy=x: write 5, 5+, */5 or *, counting from one"),
        ("skip-copy copy 3", "fault plan, line 1: `copy` is not of the form key=value"),
        (
            "skip-copy copy=3 bit=1",
            "fault plan, line 1: `skip-copy` does not take bit=; write `skip-copy copy=N`",
        ),
        (
            "removed access=soon",
            "fault plan, line 1: access=soon: not a number (decimal, or hexadecimal after 0x)",
        ),
    ] {
        assert_eq!(text.parse::<FaultPlan>().unwrap_err().to_string(), expected);
    }
    let unknown = "flop-bit copy=1".parse::<FaultPlan>().unwrap_err().to_string();
    assert!(unknown.contains("there is no fault `flop-bit`; there are flip-bit, skip-copy,"), "{unknown}");
    let error = "halt descriptor=1 error=parity".parse::<FaultPlan>().unwrap_err().to_string();
    assert!(error.contains("error=parity: no such CHANERR bit; there are source-address,"), "{error}");
}

#[test]
fn a_flipped_bit_is_the_one_named() {
    let mut rig = Rig::with_faults("flip-bit copy=2 bit=40003");
    rig.world.fill(SOURCE, &pattern(1, 6000));

    rig.execute(&[
        Slot::copy(SOURCE, TARGET, 6000),
        Slot::copy(SOURCE, TARGET + 8192, 6000),
        Slot::copy(SOURCE, TARGET + 16384, 6000),
    ]);

    let source = rig.world.bytes(SOURCE, 6000).to_vec();
    let mut flipped = source.clone();
    flipped[5000] ^= 1 << 3;
    assert_eq!(rig.world.bytes(TARGET, 6000), source);
    assert_eq!(rig.world.bytes(TARGET + 8192, 6000), flipped);
    assert_eq!(rig.world.bytes(TARGET + 16384, 6000), source);
    assert_eq!(rig.engine.statistics().faults, 1);
}

#[test]
fn a_skipped_copy_completes_without_data() {
    let mut rig = Rig::with_faults("skip-copy copy=1");
    rig.world.fill(SOURCE, &[9; 64]);

    let status = rig.execute(&[Slot::copy(SOURCE, TARGET, 64)]);

    assert_eq!(status, Rig::sts(slot(0), State::Idle));
    assert_eq!(rig.world.bytes(TARGET, 64), [0; 64]);
}

#[test]
fn an_early_completion_is_seen_before_its_data() {
    let mut rig = Rig::with_faults("early-completion descriptor=1 steps=3");
    rig.world.fill(SOURCE, &[9; 64]);
    rig.bring_up();
    rig.put(0, &[Slot::copy(SOURCE, TARGET, 64)]);
    rig.announce(1);

    rig.engine.step(&mut rig.world);
    assert_eq!(rig.world.word(WORD), slot(0) | 1);
    assert_eq!(rig.world.bytes(TARGET, 64), [0; 64]);
    for _ in 0..5 {
        rig.engine.step(&mut rig.world);
    }
    assert_eq!(rig.world.bytes(TARGET, 64), [9; 64]);
}

#[test]
fn a_dropped_interrupt_is_the_one_named_and_the_channel_believes_it_was_sent() {
    let mut rig = Rig::with_faults("drop-interrupt interrupt=2");
    rig.enable_msix();
    rig.bring_up();
    rig.put(0, &[Slot::null().with(INTERRUPT); 3]);

    let mut messages = Vec::new();
    for count in 1..=3 {
        rig.announce(count);
        rig.run();
        messages.push(rig.world.messages());
        assert_eq!(rig.channel_read(0x00, 2) & 1, 1);
        rig.control(CHANCTRL_RUN);
    }

    assert_eq!(messages, [1, 1, 2]);
}

#[test]
fn a_spurious_interrupt_has_no_cause_in_any_register() {
    let mut rig = Rig::with_faults("spurious-interrupt descriptor=1");
    rig.enable_msix();
    rig.execute(&[Slot::null()]);
    assert_eq!(rig.world.messages(), 1);
    assert_eq!(rig.channel_read(0x00, 2) & 1, 0);

    let mut rig = Rig::with_faults("spurious-interrupt descriptor=1");
    rig.write(0x03, 1, 1);
    rig.execute(&[Slot::null()]);
    assert!(rig.world.line);
    assert_eq!(rig.read(0x03, 1) & 2, 0, "no status");
    rig.run();
    assert!(!rig.world.line, "the read of INTRCTRL ends it");
}

#[test]
fn a_stuck_interrupt_never_ends() {
    let mut rig = Rig::with_faults("stuck-interrupt interrupt=1");
    rig.write(0x03, 1, 1);
    rig.execute(&[Slot::null().with(INTERRUPT)]);
    rig.read(0x03, 1);
    rig.read(0x04, 4);
    rig.control(CHANCTRL_RUN);
    rig.run_now();
    assert!(rig.world.line, "whatever software does");

    let mut rig = Rig::with_faults("stuck-interrupt interrupt=1");
    rig.enable_msix();
    rig.bring_up();
    rig.put(0, &[Slot::null().with(INTERRUPT)]);
    rig.announce(1);
    for _ in 0..5 {
        if let Progress::Until(time) = rig.run_now() {
            rig.world.now = time;
        }
    }
    assert_eq!(rig.world.messages(), 5, "repeated every ten microseconds");
    assert_eq!(rig.world.now, 50_000);
}

#[test]
fn every_error_bit_can_halt_any_descriptor() {
    for error in ChanErr::ALL {
        for descriptor in 1..=3 {
            let mut rig = Rig::with_faults(&format!("halt descriptor={descriptor} error={}", error.name));

            let status = rig.execute(&[Slot::null(); 3]);

            let last_good = if descriptor == 1 { 0 } else { slot(descriptor - 2) };
            proves!(model: M46;
                assert_eq!(status, last_good | 3, "{}", error.name);
                assert_eq!(rig.error(), ChanErr(1 << error.bit)));
        }
    }
}

#[test]
fn a_removed_function_reads_all_ones_and_works_no_more() {
    let mut rig = Rig::with_faults("removed access=20");
    rig.world.fill(SOURCE, &[9; 64]);
    rig.bring_up();
    rig.put(0, &[Slot::copy(SOURCE, TARGET, 64)]);
    while rig.read(0x08, 1) == 0x32 {}

    rig.announce(1);
    rig.run();

    assert!(rig.engine.is_removed());
    assert_eq!(rig.status(), u64::MAX);
    assert_eq!(rig.engine.config_read(0, 4), u32::MAX);
    assert_eq!(rig.world.events, []);
}

#[test]
fn completion_words_are_lost_late_torn_foreign_or_backward() {
    let stores = |plan: &str| -> (Vec<u64>, Vec<Event>) {
        let mut rig = Rig::with_faults(plan);
        rig.execute(&[Slot::null(); 4]);
        let words = rig.world.events.iter().filter_map(|event| match event {
            Event::Store(_, word) => Some(*word),
            _ => None,
        });
        (words.collect(), rig.world.events.clone())
    };
    let good: Vec<u64> = (0..4).map(|n| slot(n) | u64::from(n == 3)).collect();

    assert_eq!(stores("lost-completion completion=2").0, [good[0], good[2], good[3]]);
    assert_eq!(
        stores("foreign-completion completion=2 address=0xdead0040").0,
        [good[0], 0xdead_0040, good[2], good[3]]
    );
    assert_eq!(stores("backward-completion completion=3").0, [good[0], good[1], good[0], good[3]]);
    assert_eq!(stores("late-completion completion=2 by=9000").0, good, "late, but in order");
    let (words, events) = stores("torn-completion completion=4");
    assert_eq!(words, good[..3]);
    assert!(events.ends_with(&[Event::Write(WORD, 4), Event::Write(WORD + 4, 4)]));
}

#[test]
fn a_torn_word_can_be_seen_in_halves() {
    let mut rig = Rig::with_faults("torn-completion completion=1");
    rig.bring_up();
    rig.put(0, &[Slot::null()]);
    rig.announce(1);
    let mut seen = Vec::new();
    while rig.engine.step(&mut rig.world) == Progress::Worked {
        seen.push(rig.world.word(WORD));
    }

    seen.dedup();
    assert_eq!(seen, [0, (slot(0) | 1) & 0xFFFF_FFFF, slot(0) | 1]);
    assert!(slot(0) > MEMORY, "an address with a high half");
}

#[test]
fn an_endless_reset_never_reads_as_done() {
    let mut rig = Rig::with_faults("endless-reset reset=2");
    rig.bring_up();
    assert_eq!(rig.channel_read(0x04, 1), 0);

    rig.command(ChanCmd::RESET);
    rig.run();
    rig.world.now += 10_000_000_000;
    rig.run();

    assert_eq!(rig.channel_read(0x04, 1), 0x20);
}

#[test]
fn an_endless_suspend_has_no_effect() {
    let mut rig = Rig::with_faults("endless-suspend suspend=1");
    rig.execute(&[Slot::null()]);

    rig.command(ChanCmd::SUSPEND);
    rig.run();

    assert_eq!(rig.status() & 7, 1);
}

#[test]
fn a_channel_may_be_found_halted_or_running() {
    let mut rig = Rig::with_faults("halted-at-start error=dma-integrity");
    assert_eq!((rig.status(), rig.error()), (3, ChanErr::DMA_INTEGRITY));
    assert_eq!(rig.engine.config_read(config::CHANERR_INT, 4), ChanErr::DMA_INTEGRITY.0);
    rig.set_chain(slot(0));
    assert_eq!(rig.status(), 3);
    assert_eq!(rig.execute(&[Slot::null()]), slot(0) | 1, "a cold start brings it up");

    let mut rig = Rig::with_faults("running-at-start");
    rig.run();
    assert_eq!(rig.status(), 0);
    rig.command(ChanCmd::SUSPEND);
    rig.run();
    assert_eq!(rig.status(), 2);
    assert_eq!(rig.execute(&[Slot::null()]), slot(0) | 1);
}

#[test]
fn unreachable_extended_space_reads_all_ones() {
    let mut rig = Rig::with_faults("config-unreachable");

    assert_eq!(rig.engine.config_read(config::CHANERR_INT, 4), u32::MAX);
    assert_eq!(rig.engine.config_read(config::VENDOR, 4), 0x6F20_8086);
}

#[test]
fn another_plan_counts_from_its_own_beginning_and_an_empty_one_ends_the_trouble() {
    let mut rig = Rig::new();
    let copies = [Slot::copy(SOURCE, TARGET, 64); 3];
    assert_eq!(rig.execute(&copies), Rig::sts(slot(2), State::Idle));

    rig.engine.set_faults("halt descriptor=2 error=read-data".parse().unwrap());
    assert_eq!(rig.execute(&copies), Rig::sts(slot(0), State::Halted));

    rig.engine.set_faults(FaultPlan::default());
    assert_eq!(rig.execute(&copies), Rig::sts(slot(2), State::Idle));
    assert_eq!(rig.engine.statistics().faults, 1);
}
