//! StartDma and AppendDma: lists, flags, completion words, interrupts.

use ioat_regs::State;
use machine::lab::Failure;
use netdma_abi::completion::{ARMED, TransferStatus, word};
use netdma_abi::descriptor::{
    DESTINATION_DCA_ENABLE, DESTINATION_NO_SNOOP, DESTINATION_PAGE_BREAK, INTERRUPT_ON_COMPLETION,
    NULL_TRANSFER, SERIALIZE_TRANSFER, SOURCE_NO_SNOOP, SOURCE_PAGE_BREAK, STATUS_UPDATE_ON_COMPLETION,
};
use nthost::pnp::Sleep;
use proof::proves;

use crate::bench::*;
use crate::provider::vetoed;

#[test]
fn every_combination_of_word_and_interrupt_does_what_it_says() -> Result<(), Failure> {
    for cell in counted_cells().filter(|cell| cell.interrupts != Interrupts::None) {
        let mut bench = bench_on(cell)?;
        let (channel, _) = bench.allocate()?;
        let target = bench.pages[TARGET].1;
        let source = bench.pages[SOURCE].1;
        for flags in [0, INTERRUPT_ON_COMPLETION, STATUS_UPDATE_ON_COMPLETION, BOTH] {
            let original = bench.fill(SOURCE, flags as u8)?;
            bench.fill(TARGET, 0xEE)?;
            let (watched, last) = (bench.pages[TARGET].0 + 992, 992..1000);
            desk(|d| {
                d.interrupts.clear();
                d.reports.clear();
                d.watched = watched;
            });
            let address = bench.descriptor(0, 1000, flags, [source, target, 0, 0])?;
            assert_eq!(bench.post(START, channel, 0, 1)?, SUCCESS);
            bench.settle()?;
            assert_eq!(bench.contents(TARGET)?[..1000], original[..1000], "{cell} {flags:#x}");
            let (word_now, said) = (bench.word()?, desk(|d| d.clone()));
            let expected = if flags & STATUS_UPDATE_ON_COMPLETION != 0 {
                word(address, TransferStatus::Idle)
            } else {
                ARMED
            };
            proves!(image: R142, R143, R157, R162; assert_eq!(word_now, expected, "{cell} {flags:#x}"));
            let interrupts = usize::from(flags & INTERRUPT_ON_COMPLETION != 0);
            proves!(image: R155, R157, R200, R210; assert_eq!(said.interrupts.len(), interrupts, "{cell} {flags:#x}"));
            let written = u64::from_le_bytes(original[last].try_into().expect("eight bytes"));
            proves!(image: R154; assert!(said.interrupts.iter().all(|told| told.seen == written), "data first: {said:?}"));
            proves!(image: R268; assert!(said.interrupts.iter().all(|told| told.channel == CHANNEL)));
            let last_done = if flags & STATUS_UPDATE_ON_COMPLETION != 0 { address } else { 0 };
            proves!(image: R200; assert!(said.interrupts.iter().all(|told| told.last == last_done), "{cell} {flags:#x}: {said:?}"));
            let reported: Vec<_> = said.reports.iter().map(|told| (told.last, told.irql)).collect();
            let all = if interrupts == 1 { vec![(address, DISPATCH)] } else { vec![] };
            proves!(image: R203, R278; assert_eq!(reported, all, "{cell} {flags:#x}: without a word CHANSTS tells"));
        }
        desk(|d| d.watched = 0);
        bench.call(FREE, &[channel])?;
        bench.end()?;
    }
    Ok(())
}

#[test]
fn page_breaks_fences_nulls_and_hints() -> Result<(), Failure> {
    let mut bench = bench(0x6F20)?;
    let (channel, _) = bench.allocate()?;
    let [_, _, (_, source), (_, second), (_, target)] = bench.pages;
    let from = bench.fill(SOURCE, 1)?;
    let next = bench.fill(SECOND, 2)?;
    let post =
        |bench: &mut Bench, length: u32, flags: u32, addresses: [u64; 4]| -> Result<Vec<u8>, Failure> {
            bench.fill(TARGET, 0xEE)?;
            let address = bench.descriptor(0, length, flags | STATUS_UPDATE_ON_COMPLETION, addresses)?;
            assert_eq!(bench.post(START, channel, 0, 1)?, SUCCESS);
            bench.settle()?;
            assert_eq!(bench.word()?, word(address, TransferStatus::Idle), "{flags:#x}");
            let ring = bench.pages[RING].0;
            let users: [u64; 2] = bench.lab.run(|k| [k.read(ring + 0x30), k.read(ring + 0x38)])?;
            proves!(image: R252; assert_eq!(users, [0x5AFE_0001, 0x5AFE_0002]));
            bench.contents(TARGET)
        };
    // 96 bytes to the end of the first source page, the rest from the second.
    let joined: Vec<u8> = from[4000..].iter().chain(&next[..400]).copied().collect();
    let there = post(&mut bench, 496, SOURCE_PAGE_BREAK, [source + 4000, target, second, 0])?;
    proves!(image: R229; assert_eq!(there[..496], joined[..]));
    // The source is one piece, the target is broken: its second part goes to the beginning of the same page.
    let there = post(&mut bench, 496, DESTINATION_PAGE_BREAK, [source, target + 3996, 0, target])?;
    proves!(image: R230; assert_eq!((&there[3996..], &there[..396]), (&from[..100], &from[100..496])));
    let both = SOURCE_PAGE_BREAK | DESTINATION_PAGE_BREAK;
    let there = post(&mut bench, 496, both, [source + 4000, target + 3996, second, target])?;
    proves!(image: R231; assert_eq!((&there[3996..], &there[..396]), (&joined[..100], &joined[100..])));
    let there = post(&mut bench, 96, both, [source, target, second, second])?;
    proves!(image: R237; assert_eq!(there[..96], from[..96], "a break that is never reached"));
    let there = post(&mut bench, 300, DESTINATION_DCA_ENABLE, [source, target, 0, 0])?;
    proves!(image: R245; assert_eq!(there[..300], from[..300]));
    let there = post(&mut bench, 300, SOURCE_NO_SNOOP | DESTINATION_NO_SNOOP, [source, target, 0, 0])?;
    proves!(image: R163, R279; assert_eq!(there[..300], from[..300]));

    // A fence: the second copy reads what the first one wrote. And a null behind both, whose interrupt says all is done.
    bench.fill(TARGET, 0xEE)?;
    bench.descriptor(10, 64, SERIALIZE_TRANSFER, [source, target, 0, 0])?;
    bench.descriptor(11, 64, 0, [target, target + 1000, 0, 0])?;
    let last = bench.descriptor(12, 8, NULL_TRANSFER | BOTH, [0; 4])?;
    desk(|d| d.reports.clear());
    assert_eq!(bench.post(START, channel, 10, 3)?, SUCCESS);
    bench.settle()?;
    let there = bench.contents(TARGET)?;
    proves!(image: R153, R158; assert_eq!((&there[..64], &there[1000..1064]), (&from[..64], &from[..64])));
    let reports: Vec<u64> = desk(|d| d.reports.iter().map(|told| told.last).collect());
    proves!(image: R166, R167, R168, R169; assert_eq!(reports, [last]));
    bench.call(FREE, &[channel])?;
    bench.end()
}

#[test]
fn the_count_ends_a_list_although_it_is_linked_on_and_an_append_goes_on() -> Result<(), Failure> {
    let mut bench = Bench::new(0x6F20, |options| options.timing.per_descriptor = 100_000, |_| {})?;
    let (channel, _) = bench.allocate()?;
    let (source, target) = (bench.pages[SOURCE].1, bench.pages[TARGET].1);
    for slot in 0..20 {
        bench.descriptor(slot, 16, STATUS_UPDATE_ON_COMPLETION, [source, target + 64 * slot, 0, 0])?;
    }
    let ring = bench.pages[RING].1;
    assert_eq!(bench.post(START, channel, 0, 5)?, SUCCESS);
    bench.lab.machine.advance(250_000)?;
    let during = bench.word()?;
    proves!(image: R145, R149, R152; assert_eq!(during & 7, TransferStatus::Active as u64, "{during:#x}: more remain"));
    bench.settle()?;
    proves!(image: R118, R119, R146, R271, R272; assert_eq!(bench.word()?, word(ring + 4 * 64, TransferStatus::Idle)));
    // Two appends, the second while the first one runs.
    assert_eq!(bench.post(APPEND, channel, 5, 5)?, SUCCESS);
    bench.lab.machine.advance(150_000)?;
    assert_eq!(bench.post(APPEND, channel, 10, 3)?, SUCCESS);
    bench.settle()?;
    proves!(image: R131, R132, R136, R140, R141; assert_eq!(bench.word()?, word(ring + 12 * 64, TransferStatus::Idle)));
    bench.call(FREE, &[channel])?;
    bench.end()
}

#[test]
fn a_busy_start_finishes_the_descriptor_under_way_and_takes_the_new_list() -> Result<(), Failure> {
    for cell in counted_cells() {
        let (mut bench, channel) = slow(cell)?;
        bench.fill(SOURCE, 7)?;
        bench.fill(TARGET, 0)?;
        let (source, target) = (bench.pages[SOURCE].1, bench.pages[TARGET].1);
        for slot in 0..40 {
            bench.descriptor(slot, 8, STATUS_UPDATE_ON_COMPLETION, [source, target + 8 * slot, 0, 0])?;
        }
        let before = bench.contents(TARGET)?;
        assert_eq!(bench.post(START, channel, 0, 30)?, SUCCESS);
        bench.lab.machine.advance(55_000)?;
        assert_eq!(bench.state(), Some(State::Active), "{cell}");
        let status = bench.post(START, channel, 36, 2)?;
        // The descriptor under way has written its word meanwhile; it belongs to the list that was dropped.
        proves!(image: R115; assert_eq!(bench.word()?, ARMED, "{cell}"));
        bench.settle()?;
        let after = bench.contents(TARGET)?;
        let done: Vec<u64> = (0..40)
            .filter(|slot| after[8 * slot..8 * slot + 8] != before[8 * slot..8 * slot + 8])
            .map(|slot| slot as u64)
            .collect();
        let first: Vec<u64> = done.iter().copied().filter(|slot| *slot < 30).collect();
        proves!(image: R112, R113, R114, R115, R125;
            assert_eq!(status, SUCCESS);
            assert!(first.len() < 29 && first == (0..first.len() as u64).collect::<Vec<_>>(), "{cell}: {done:?}");
            assert_eq!(done[first.len()..], [36, 37], "{cell}"));
        let ring = bench.pages[RING].1;
        assert_eq!(bench.word()?, word(ring + 37 * 64, TransferStatus::Idle), "{cell}");
        bench.call(FREE, &[channel])?;
        bench.end()?;
    }
    Ok(())
}

#[test]
fn a_list_that_cannot_be_taken_is_refused_and_nothing_of_it_runs() -> Result<(), Failure> {
    for cell in cells() {
        let mut bench = bench_on(cell)?;
        let (channel, _) = bench.allocate()?;
        let before = bench.list(0..4, BOTH)?;
        let (at, bus) = bench.pages[RING];
        let bad = [(bus + 8, 1), (0, 1), (1 << 63, 1), (bus, 0), (bus, 0x1_0000)];
        let descriptors = bench.engine().descriptors;
        bench.set_word(ARMED)?;
        for (address, count) in bad {
            let status = bench.call_at(DISPATCH, START, &[channel, at, address, count])?;
            bench.settle()?;
            proves!(image: R123; assert_eq!(status, UNSUCCESSFUL, "{cell}: {count} at {address:#x}"));
            proves!(image: R124;
                assert_eq!((bench.arrived(&before)?, bench.engine().descriptors), (vec![], descriptors), "{cell}");
                assert_eq!(bench.word()?, ARMED, "{cell}"));
        }
        proves!(image: R138; assert_eq!(bench.post(APPEND, channel, 0, 1)?, UNSUCCESSFUL, "{cell}: nothing was started"));
        bench.link(1, if bench.is_linked() { None } else { Some(2) })?;
        proves!(image: R123; assert_eq!(bench.post(START, channel, 0, 2)?, SUCCESS, "{cell}"));
        bench.settle()?;
        for (address, count) in bad {
            let status = bench.call_at(DISPATCH, APPEND, &[channel, at, address, count])?;
            bench.settle()?;
            proves!(image: R138;
                assert_eq!(status, UNSUCCESSFUL, "{cell}: {count} at {address:#x}");
                assert_eq!(bench.arrived(&before)?, [0, 1], "{cell}"));
        }
        bench.link(1, Some(2))?;
        proves!(image: R138; assert_eq!(bench.post(APPEND, channel, 2, 2)?, SUCCESS, "{cell}"));
        bench.settle()?;
        assert_eq!(bench.arrived(&before)?, [0, 1, 2, 3], "{cell}");
        bench.call(FREE, &[channel])?;
        bench.end()?;
    }
    Ok(())
}

#[test]
fn an_append_before_the_engine_is_at_the_tail_is_one_write_and_is_reached_by_the_tails_link()
-> Result<(), Failure> {
    for cell in cells() {
        let mut bench = Bench::on(cell, |options| options.timing.per_descriptor = 100_000, |_| {})?;
        let (channel, _) = bench.allocate()?;
        let before = bench.list(0..30, STATUS_UPDATE_ON_COMPLETION)?;
        // The list goes on at a place that no address tells, only the link of its tail.
        bench.link(4, if bench.is_linked() { None } else { Some(20) })?;
        assert_eq!(bench.post(START, channel, 0, 5)?, SUCCESS, "{cell}");
        bench.lab.machine.advance(250_000)?;
        bench.link(4, Some(20))?;
        let (then, ring) = (bench.engine(), bench.ring()?);
        proves!(image: R130, R135; assert_eq!(bench.post(APPEND, channel, 20, 3)?, SUCCESS, "{cell}"));
        let now = bench.engine();
        proves!(image: R130;
            assert_eq!(now.accesses.writes() - then.accesses.writes(), 1, "{cell}: one write");
            assert_eq!(now.accesses.reads(), then.accesses.reads(), "{cell}: no read"));
        bench.link(22, None)?;
        bench.settle()?;
        let bus = bench.pages[RING].1;
        proves!(image: R130, R135;
            assert_eq!(bench.arrived(&before)?, [0, 1, 2, 3, 4, 20, 21, 22], "{cell}");
            assert_eq!(bench.engine().chains, then.chains, "{cell}: the same chain");
            assert_eq!(bench.word()?, word(bus + 22 * 64, TransferStatus::Idle), "{cell}"));
        bench.link(22, Some(23))?;
        proves!(image: R135; assert_eq!(bench.ring()?, ring, "{cell}: the provider writes no descriptor"));
        bench.call(FREE, &[channel])?;
        bench.end()?;
    }
    Ok(())
}

#[test]
fn without_a_fence_a_word_still_means_that_everything_up_to_it_is_in_memory() -> Result<(), Failure> {
    for cell in cells() {
        let slow = |options: &mut ioat_model::Options| {
            options.timing.per_descriptor = 3_000;
            options.timing.completion_lag = 5_000;
            options.timing.jitter = 2_000;
            options.timing.fine = true;
        };
        let mut bench = Bench::on(cell, slow, |_| {})?;
        let (channel, _) = bench.allocate()?;
        let before = bench.list(0..20, STATUS_UPDATE_ON_COMPLETION)?;
        assert_eq!(bench.post(START, channel, 0, 20)?, SUCCESS);
        let bus = bench.pages[RING].1;
        let (mut words, mut ahead) = (Vec::new(), 0);
        for _ in 0..1_000 {
            bench.lab.machine.advance(500)?;
            let (named, arrived) = (bench.word()?, bench.arrived(&before)?);
            if named == ARMED {
                continue;
            }
            let last = ((named & !0x3F) - bus) / 64;
            proves!(image: R153, R154, R159; assert!((0..=last).all(|slot| arrived.contains(&slot)), "{cell}: {named:#x} {arrived:?}"));
            words.push(last);
            ahead += usize::from(arrived.len() as u64 > last + 1);
            if last == 19 {
                break;
            }
        }
        words.dedup();
        assert!(words.len() > 5 && words.ends_with(&[19]), "{cell}: {words:?}");
        proves!(image: R159; assert!(ahead > 0, "{cell}: a later descriptor had begun before an earlier one's word"));
        bench.call(FREE, &[channel])?;
        bench.end()?;
    }
    Ok(())
}

#[test]
fn a_null_of_size_zero_moves_nothing_and_is_done_where_the_hardware_takes_one() -> Result<(), Failure> {
    // From 3.0 on the engine halts on it (Q3); netdma.sys gives every null a size.
    for cell in cells().filter(|cell| [0x1A38, 0x402F].contains(&cell.device)) {
        let mut bench = bench_on(cell)?;
        let (channel, _) = bench.allocate()?;
        let (source, target) = (bench.pages[SOURCE].1, bench.pages[TARGET].1);
        let before = bench.fill(TARGET, 0xEE)?;
        let last = bench.descriptor(0, 0, NULL_TRANSFER | BOTH, [source, target, 0, 0])?;
        bench.link(0, None)?;
        proves!(image: R165; assert_eq!(bench.post(START, channel, 0, 1)?, SUCCESS, "{cell}"));
        bench.settle()?;
        proves!(image: R165;
            assert_eq!(bench.word()?, word(last, TransferStatus::Idle), "{cell}");
            assert_eq!(bench.contents(TARGET)?, before, "{cell}"));
        bench.call(FREE, &[channel])?;
        bench.end()?;
    }
    Ok(())
}

#[test]
fn one_null_rearms_a_channel_after_a_power_cycle() -> Result<(), Failure> {
    for cell in cells() {
        let mut bench = Bench::on(cell, |options| options.d3_loses_state = true, |_| {})?;
        let (channel, _) = bench.allocate()?;
        let before = bench.list(0..6, STATUS_UPDATE_ON_COMPLETION)?;
        assert_eq!(bench.post(START, channel, 0, 6)?, SUCCESS);
        bench.settle()?;
        assert_eq!(bench.arrived(&before)?.len(), 6, "{cell}");
        vetoed(bench.lab.run(|k| k.sleep(Sleep::Standby))?)?;
        bench.lab.run(|k| k.wake_up())?;

        let before = bench.list(1..6, STATUS_UPDATE_ON_COMPLETION)?;
        // Neither a word nor an interrupt is asked for.
        bench.descriptor(0, 8, NULL_TRANSFER, [0; 4])?;
        bench.link(0, if bench.is_linked() { None } else { Some(1) })?;
        proves!(image: R172; assert_eq!(bench.post(START, channel, 0, 1)?, SUCCESS, "{cell}"));
        bench.settle()?;
        assert!(bench.arrived(&before)?.is_empty(), "{cell}");
        bench.link(0, Some(1))?;
        proves!(image: R172; assert_eq!(bench.post(APPEND, channel, 1, 5)?, SUCCESS, "{cell}"));
        bench.settle()?;
        proves!(image: R172;
            assert_eq!(bench.arrived(&before)?, [1, 2, 3, 4, 5], "{cell}");
            assert_eq!(bench.word()?, word(bench.pages[RING].1 + 5 * 64, TransferStatus::Idle), "{cell}"));
        bench.call(FREE, &[channel])?;
        bench.end()?;
    }
    Ok(())
}

#[test]
fn a_start_on_an_engine_whose_halt_nobody_has_seen_takes_the_new_list_and_tells_nothing_of_the_old_one()
-> Result<(), Failure> {
    for cell in cells() {
        let (mut bench, channel) = slow(cell)?;
        let before = bench.list(0..40, BOTH)?;
        let plan =
            "halt descriptor=3 error=read-data; drop-interrupt interrupt=*".parse().expect("a fault plan");
        bench.lab.engines[1].with(|engine| engine.set_faults(plan));
        assert_eq!(bench.post(START, channel, 0, 20)?, SUCCESS);
        bench.lab.machine.advance(60_000)?;
        assert_eq!((bench.state(), bench.arrived(&before)?), (Some(State::Halted), vec![0, 1]), "{cell}");
        bench.lab.engines[1].with(|engine| engine.set_faults("".parse().expect("no fault")));
        desk(|d| d.reports.clear());

        let before = bench.list(20..30, STATUS_UPDATE_ON_COMPLETION)?;
        let last = bench.descriptor(29, 8, BOTH | NULL_TRANSFER, [0; 4])?;
        bench.link(29, None)?;
        proves!(image: R112, R115; assert_eq!(bench.post(START, channel, 20, 10)?, SUCCESS, "{cell}"));
        // Whoever looks now must not take the old list's end for the new one's.
        proves!(image: R115; assert_eq!(bench.word()?, ARMED, "{cell}"));
        bench.settle()?;
        let reports: Vec<u64> = desk(|d| d.reports.iter().map(|told| told.last).collect());
        proves!(image: R112, R115, R125;
            assert_eq!(bench.arrived(&before)?, (20..29).collect::<Vec<_>>(), "{cell}");
            assert_eq!(bench.word()?, word(last, TransferStatus::Idle), "{cell}");
            assert_eq!(reports, [last], "{cell}: no halt is told of"));
        bench.call(FREE, &[channel])?;
        bench.end()?;
    }
    Ok(())
}

#[test]
fn a_halt_is_told_of_once_and_the_word_names_what_was_done_before_it() -> Result<(), Failure> {
    for cell in cells() {
        for (place, dropped) in [(1, ""), (3, ""), (3, "; drop-interrupt interrupt=*"), (20, "")] {
            let what = format!("{cell}: {place}{dropped}");
            let (mut bench, channel) = slow(cell)?;
            let before = bench.list(0..20, 0)?;
            let plan =
                format!("halt descriptor={place} error=read-data{dropped}").parse().expect("a fault plan");
            bench.lab.engines[1].with(|engine| engine.set_faults(plan));
            assert_eq!(bench.post(START, channel, 0, 20)?, SUCCESS, "{what}");
            // Time for the interrupt, and for many looks of the watchdog.
            bench.lab.machine.advance(3_000_000_000)?;
            bench.settle()?;
            let done = if place == 1 { 0 } else { bench.pages[RING].1 + 64 * (place - 2) };
            let reports: Vec<_> =
                desk(|d| d.reports.iter().map(|told| (told.channel, told.last, told.irql)).collect());
            proves!(image: R147, R204, R211;
                assert_eq!(reports, [(CHANNEL, 0, DISPATCH)], "{what}");
                assert_eq!(bench.word()?, word(done, TransferStatus::Halted), "{what}"));
            assert_eq!(bench.arrived(&before)?, (0..place - 1).collect::<Vec<_>>(), "{what}");
            bench.call(FREE, &[channel])?;
            bench.end()?;
        }
    }
    Ok(())
}

#[test]
fn after_an_interrupt_that_was_lost_the_next_one_comes_at_once() -> Result<(), Failure> {
    for cell in cells().filter(|cell| cell.interrupts != Interrupts::None) {
        let (mut bench, channel) = slow(cell)?;
        bench.list(0..3, 0)?;
        let last = bench.descriptor(2, 8, NULL_TRANSFER | BOTH, [0; 4])?;
        bench.link(2, None)?;
        let told = |bench: &mut Bench, patience: u64| -> Result<Vec<u64>, Failure> {
            assert_eq!(bench.post(START, channel, 0, 3)?, SUCCESS);
            bench.lab.machine.advance(patience)?;
            Ok(desk(|d| std::mem::take(&mut d.reports).iter().map(|told| told.last).collect()))
        };
        assert_eq!(told(&mut bench, 1_000_000)?, [last], "{cell}");
        let plan = "drop-interrupt interrupt=1".parse().expect("a fault plan");
        bench.lab.engines[1].with(|engine| engine.set_faults(plan));
        assert!(told(&mut bench, 100_000_000)?.is_empty(), "{cell}: nobody has looked yet");
        bench.lab.machine.advance(1_000_000_000)?;
        let found: Vec<u64> = desk(|d| std::mem::take(&mut d.reports).iter().map(|told| told.last).collect());
        proves!(image: H31; assert_eq!(found, [last], "{cell}: the watchdog has"));
        // It has re-armed the channel as well.
        proves!(image: H31; assert_eq!(told(&mut bench, 1_000_000)?, [last], "{cell}"));
        bench.call(FREE, &[channel])?;
        bench.end()?;
    }
    Ok(())
}
