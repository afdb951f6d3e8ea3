//! SuspendDma, ResumeDma, AbortDma and ResetChannel.

use ioat_regs::State;
use machine::lab::Failure;
use netdma_abi::completion::{TransferStatus, word};
use netdma_abi::descriptor::{NULL_TRANSFER, STATUS_UPDATE_ON_COMPLETION};
use proof::proves;

use crate::bench::*;
use crate::provider::vetoed;

#[test]
fn control_commands_answer_success_or_unsuccessful_and_name_the_last_descriptor() -> Result<(), Failure> {
    let mut bench = Bench::new(0x6F20, |options| options.timing.per_descriptor = 10_000, |_| {})?;
    let (channel, _) = bench.allocate()?;
    let (source, target) = (bench.pages[SOURCE].1, bench.pages[TARGET].1);
    for slot in 0..40 {
        bench.descriptor(slot, 8, 0, [source, target, 0, 0])?;
    }
    let place = bench.pages[ARGUMENTS].0 + 0x300;
    let unstarted = [
        bench.call(SUSPEND, &[channel, place])?,
        bench.call(RESUME, &[channel])?,
        bench.call(ABORT, &[channel])?,
    ];
    proves!(image: R183, R275; assert_eq!(unstarted, [UNSUCCESSFUL; 3]));
    assert_eq!(bench.post(APPEND, channel, 0, 1)?, UNSUCCESSFUL, "nothing was started");
    assert_eq!(bench.call(RESET, &[channel])?, SUCCESS);

    for irql in [PASSIVE, DISPATCH] {
        assert_eq!(bench.post(START, channel, 0, 40)?, SUCCESS);
        bench.lab.machine.advance(55_000)?;
        let status = bench.call_at(irql, SUSPEND, &[channel, place])?;
        let named: u64 = bench.lab.run(|k| k.read(place))?;
        proves!(image: R173, R175, R275; assert_eq!((status, named & 0x3F), (SUCCESS, 0)));
        let at = bench.pages[RING].1;
        assert!((at..at + 40 * 64).contains(&named), "{named:#x}");
        proves!(image: R148, R176; assert_eq!(bench.word()?, word(named, TransferStatus::Suspend)));
        proves!(image: R178, R180; assert_eq!(bench.call_at(irql, RESUME, &[channel])?, SUCCESS));
        bench.lab.machine.advance(35_000)?;
        proves!(image: R187, R196, R275;
            assert_eq!(bench.call_at(irql, ABORT, &[channel])?, SUCCESS);
            assert_eq!(bench.word()? & 7, TransferStatus::Halted as u64));
        proves!(image: R188; assert_eq!(bench.post(START, channel, 0, 2)?, SUCCESS));
        bench.settle()?;
        proves!(image: R190, R192, R275; assert_eq!(bench.call_at(irql, RESET, &[channel])?, SUCCESS));
    }
    bench.call(FREE, &[channel])?;
    bench.end()
}

#[test]
fn suspending_an_idle_channel_succeeds_and_one_that_was_never_started_fails() -> Result<(), Failure> {
    for cell in cells() {
        let (mut bench, channel) = slow(cell)?;
        let place = bench.pages[ARGUMENTS].0 + 0x300;
        proves!(image: R182; assert_eq!(bench.call(SUSPEND, &[channel, place])?, UNSUCCESSFUL, "{cell}"));
        let before = bench.list(0..3, STATUS_UPDATE_ON_COMPLETION)?;
        assert_eq!(bench.post(START, channel, 0, 3)?, SUCCESS);
        bench.settle()?;
        assert_eq!(bench.arrived(&before)?, [0, 1, 2], "{cell}: all is done");
        proves!(image: R182; assert_eq!(bench.call_at(DISPATCH, SUSPEND, &[channel, place])?, SUCCESS, "{cell}"));
        let named: u64 = bench.lab.run(|k| k.read(place))?;
        assert_eq!(named, bench.pages[RING].1 + 2 * 64, "{cell}");
        bench.call(FREE, &[channel])?;
        bench.end()?;
    }
    Ok(())
}

#[test]
fn abort_and_reset_cut_the_transfer_short_cancel_the_rest_and_report_none_of_it() -> Result<(), Failure> {
    for (cell, command) in cells().flat_map(|cell| [(cell, ABORT), (cell, RESET)]) {
        let (mut bench, channel) = slow(cell)?;
        let before = bench.list(0..40, BOTH)?;
        assert_eq!(bench.post(START, channel, 0, 40)?, SUCCESS);
        bench.lab.machine.advance(55_000)?;
        assert_eq!(bench.state(), Some(State::Active), "{cell}");
        assert_eq!(bench.call(command, &[channel])?, SUCCESS, "{cell}");
        let (done, word_then) = (bench.arrived(&before)?, bench.word()?);
        let told = desk(|d| (d.interrupts.len(), d.reports.len()));
        let (bus, count) = (bench.pages[RING].1, done.len() as u64);
        proves!(image: R185, R189;
            assert!((1..30).contains(&count), "{cell}: {done:?}");
            assert_eq!(done, (0..count).collect::<Vec<_>>(), "{cell}"));
        proves!(image: R195; assert_eq!(word_then, word(bus + 64 * (count - 1), TransferStatus::Halted), "{cell}"));
        bench.lab.machine.advance(1_000_000_000)?;
        bench.settle()?;
        proves!(image: R185, R186, R189; assert_eq!(bench.arrived(&before)?, done, "{cell}: nothing more of it runs"));
        let (interrupts, reports) = desk(|d| (d.interrupts.clone(), d.reports.clone()));
        proves!(image: R186, R195;
            assert_eq!(bench.word()?, word_then, "{cell}");
            // What was completed before may be told of late; what was cancelled never is.
            assert!(interrupts[told.0..].iter().chain(&reports[told.1..]).all(|told| told.last < bus + 64 * count), "{cell}"));
        bench.call(FREE, &[channel])?;
        bench.end()?;
    }
    Ok(())
}

/// The channel's control, status, completion address, count and error. The chain address is written anew with each start.
fn registers(bench: &Bench) -> Vec<u64> {
    bench.lab.engines[1].with(|engine| {
        let map = ioat_regs::ChannelMap::of(engine.options().version);
        let base = ioat_regs::channel::base(0);
        let halves = |offset| [(offset, 4), (offset + 4, 4)];
        [(map.control, 2), (map.error, 4)]
            .into_iter()
            .chain([map.status, map.completion].into_iter().flat_map(halves))
            .chain(map.count.map(|count| (count, 2)))
            .map(|(offset, width)| engine.mmio_read(base + offset, width))
            .collect()
    })
}

#[test]
fn after_a_reset_the_channel_is_as_right_after_its_allocation() -> Result<(), Failure> {
    for cell in cells() {
        let (mut bench, channel) = slow(cell)?;
        let fresh = registers(&bench);
        let place = bench.pages[ARGUMENTS].0 + 0x300;
        let answers = |bench: &mut Bench| -> Result<[i32; 4], Failure> {
            Ok([
                bench.post(APPEND, channel, 0, 1)?,
                bench.call(SUSPEND, &[channel, place])?,
                bench.call(RESUME, &[channel])?,
                bench.call(ABORT, &[channel])?,
            ])
        };
        let before = bench.list(0..20, STATUS_UPDATE_ON_COMPLETION)?;
        let at_first = answers(&mut bench)?;
        assert_eq!(bench.post(START, channel, 0, 20)?, SUCCESS);
        bench.lab.machine.advance(55_000)?;
        assert_ne!(registers(&bench), fresh, "{cell}");
        assert_eq!(bench.call(RESET, &[channel])?, SUCCESS);
        proves!(image: R191;
            assert_eq!(registers(&bench), fresh, "{cell}");
            assert_eq!(answers(&mut bench)?, at_first, "{cell}"));
        bench.list(0..20, STATUS_UPDATE_ON_COMPLETION)?;
        assert_eq!(bench.post(START, channel, 0, 20)?, SUCCESS);
        bench.settle()?;
        proves!(image: R191; assert_eq!(bench.arrived(&before)?.len(), 20, "{cell}"));
        bench.call(FREE, &[channel])?;
        bench.end()?;
    }
    Ok(())
}

#[test]
fn start_abort_and_reset_end_a_suspension() -> Result<(), Failure> {
    for (cell, command) in cells().flat_map(|cell| [(cell, START), (cell, ABORT), (cell, RESET)]) {
        let (mut bench, channel) = slow(cell)?;
        let place = bench.pages[ARGUMENTS].0 + 0x300;
        bench.list(0..40, STATUS_UPDATE_ON_COMPLETION)?;
        assert_eq!(bench.post(START, channel, 0, 40)?, SUCCESS);
        bench.lab.machine.advance(55_000)?;
        assert_eq!(bench.call(SUSPEND, &[channel, place])?, SUCCESS);
        assert_eq!(bench.state(), Some(State::Suspended), "{cell}");
        let before = bench.list(0..40, STATUS_UPDATE_ON_COMPLETION)?;
        bench.link(7, if bench.is_linked() { None } else { Some(8) })?;
        if command != START {
            assert_eq!(bench.call(command, &[channel])?, SUCCESS, "{cell}");
            proves!(image: R266; assert_ne!(bench.state(), Some(State::Suspended), "{cell}"));
        }
        proves!(image: R266; assert_eq!(bench.post(START, channel, 6, 2)?, SUCCESS, "{cell}"));
        bench.settle()?;
        proves!(image: R266; assert_eq!(bench.arrived(&before)?, [6, 7], "{cell}: the new list, and nothing of the old one"));
        // There is nothing to resume any more.
        proves!(image: R266; assert_eq!(bench.call(RESUME, &[channel])?, UNSUCCESSFUL, "{cell}"));
        bench.call(FREE, &[channel])?;
        bench.end()?;
    }
    Ok(())
}

#[test]
fn entry_points_can_be_called_from_within_a_report() -> Result<(), Failure> {
    for cell in cells() {
        let (mut bench, channel) = slow(cell)?;
        let before = bench.list(0..20, 0)?;
        let (at, bus) = bench.pages[RING];
        let place = bench.pages[ARGUMENTS].0 + 0x300;
        bench.descriptor(4, 8, NULL_TRANSFER | BOTH, [0; 4])?;
        bench.link(4, Some(5))?;
        let (first, last) =
            ([channel, at + 5 * 64, bus + 5 * 64, 5], [channel, at + 15 * 64, bus + 15 * 64, 5]);
        // The machine stops a driver that takes a lock it holds.
        desk(|d| {
            d.inside = vec![
                (APPEND, first),
                (SUSPEND, [channel, place, 0, 0]),
                (RESUME, [channel, 0, 0, 0]),
                (ABORT, [channel, 0, 0, 0]),
                (RESET, [channel, 0, 0, 0]),
                (START, last),
            ];
        });
        bench.link(4, if bench.is_linked() { None } else { Some(5) })?;
        assert_eq!(bench.post(START, channel, 0, 5)?, SUCCESS);
        bench.settle()?;
        proves!(image: R257; assert_eq!(desk(|d| d.answers.clone()), [SUCCESS; 6], "{cell}"));
        assert!(bench.arrived(&before)?.ends_with(&[15, 16, 17, 18, 19]), "{cell}");
        bench.call(FREE, &[channel])?;
        bench.end()?;
    }
    Ok(())
}

#[test]
fn a_stop_that_outlives_50_us_at_dispatch_level_is_finished_in_the_background_and_then_told_of()
-> Result<(), Failure> {
    // Hardware 1.2 does not say that a reset goes on (M66).
    for cell in counted_cells() {
        let slow = |options: &mut ioat_model::Options| {
            options.timing.per_descriptor = 10_000;
            options.timing.reset = 150_000_000;
        };
        let mut bench = Bench::on(cell, slow, |_| {})?;
        let (channel, _) = bench.allocate()?;
        let before = bench.list(0..40, STATUS_UPDATE_ON_COMPLETION)?;
        assert_eq!(bench.post(START, channel, 0, 40)?, SUCCESS);
        bench.lab.machine.advance(55_000)?;
        let began = bench.lab.machine.now();
        assert_eq!(
            bench.call_at(DISPATCH, RESET, &[channel])?,
            UNSUCCESSFUL,
            "{cell}: 150 ms are not waited for"
        );
        assert!(bench.lab.machine.now() - began < 200_000, "{cell}");
        let done = bench.arrived(&before)?;
        let refused = [START, APPEND].map(|entry| bench.post_quietly(entry, channel, 30, 2));
        assert_eq!(
            refused.map(|answer| answer.expect("no stop")),
            [UNSUCCESSFUL; 2],
            "{cell}: it is still stopping"
        );
        assert!(desk(|d| d.reports.is_empty()), "{cell}: nothing is told before it has stopped");

        bench.lab.machine.advance(400_000_000)?;
        bench.settle()?;
        let reports: Vec<_> =
            desk(|d| d.reports.iter().map(|told| (told.channel, told.last, told.irql)).collect());
        proves!(image: R192, R195, R275;
            assert_eq!(reports, [(CHANNEL, 0, DISPATCH)], "{cell}");
            assert_eq!(bench.word()? & 7, TransferStatus::Halted as u64, "{cell}");
            assert_eq!(bench.arrived(&before)?, done, "{cell}: nothing of it ran meanwhile"));
        bench.list(0..3, STATUS_UPDATE_ON_COMPLETION)?;
        assert_eq!(bench.post(START, channel, 0, 3)?, SUCCESS, "{cell}");
        bench.settle()?;
        assert_eq!(bench.word()?, word(bench.pages[RING].1 + 2 * 64, TransferStatus::Idle), "{cell}");
        bench.call(FREE, &[channel])?;
        bench.end()?;
    }
    Ok(())
}

#[test]
fn an_interrupt_that_comes_while_a_command_waits_costs_none_of_the_later_ones() -> Result<(), Failure> {
    for cell in cells().filter(|cell| cell.interrupts != Interrupts::None) {
        let (mut bench, channel) = slow(cell)?;
        bench.list(0..20, BOTH)?;
        let place = bench.pages[ARGUMENTS].0 + 0x300;
        for pause in [35_000, 38_000, 41_000, 44_000] {
            assert_eq!(bench.post(START, channel, 0, 20)?, SUCCESS);
            bench.lab.machine.advance(pause)?;
            // The descriptor under way is finished first, and interrupts while the command has the channel.
            assert_eq!(bench.call(SUSPEND, &[channel, place])?, SUCCESS, "{cell}");
            assert_eq!(bench.call(RESUME, &[channel])?, SUCCESS, "{cell}");
            let begin = bench.lab.machine.now();
            while bench.lab.machine.now() - begin < 300_000 {
                bench.lab.machine.advance(10_000)?;
            }
            // The watchdog, which would find it as well, looks every 200 ms.
            let told = desk(|d| std::mem::take(&mut d.reports).last().map(|told| told.last));
            proves!(image: R178, R180; assert_eq!(told, Some(bench.pages[RING].1 + 19 * 64), "{cell} {pause}"));
        }
        bench.call(FREE, &[channel])?;
        bench.end()?;
    }
    Ok(())
}

#[test]
fn a_command_that_nothing_came_in_between_is_followed_by_no_dpc() -> Result<(), Failure> {
    for cell in counted_cells().filter(|cell| cell.interrupts != Interrupts::None) {
        // At DISPATCH_LEVEL the command has the lock all the time, so that nothing can come in between.
        let mut writes = [PASSIVE, DISPATCH].map(|irql| (irql, Vec::new()));
        for (irql, writes) in &mut writes {
            let (mut bench, channel) = slow(cell)?;
            let (devnode, place) = (bench.device, bench.pages[ARGUMENTS].0 + 0x300);
            bench.list(0..3, STATUS_UPDATE_ON_COMPLETION)?;
            assert_eq!(bench.post(START, channel, 0, 3)?, SUCCESS);
            bench.settle()?;
            for command in [SUSPEND, RESUME, ABORT, RESET] {
                let arguments = if command == SUSPEND { vec![channel, place] } else { vec![channel] };
                let traffic =
                    |bench: &mut Bench| bench.lab.run(|k| k.device(devnode).and_then(|d| d.traffic));
                let before = traffic(&mut bench)?.expect("a function").writes;
                assert_eq!(bench.call_at(*irql, command, &arguments)?, SUCCESS, "{cell} {command}");
                bench.lab.machine.advance(100_000)?;
                writes.push(traffic(&mut bench)?.expect("a function").writes - before);
            }
            bench.call(FREE, &[channel])?;
            bench.end()?;
        }
        // A DPC would re-arm the channel by one more write.
        let [(_, passive), (_, dispatch)] = writes;
        assert_eq!(passive, dispatch, "{cell}: register writes of suspend, resume, abort and reset");
    }
    Ok(())
}

#[test]
fn a_free_waits_for_a_stop_that_is_still_being_finished() -> Result<(), Failure> {
    for cell in counted_cells() {
        let mut bench = Bench::on(cell, |options| options.timing.reset = 150_000_000, |_| {})?;
        let (channel, _) = bench.allocate()?;
        bench.list(0..3, STATUS_UPDATE_ON_COMPLETION)?;
        assert_eq!(bench.post(START, channel, 0, 3)?, SUCCESS);
        bench.settle()?;
        let began = bench.lab.machine.now();
        assert_eq!(bench.call_at(DISPATCH, RESET, &[channel])?, UNSUCCESSFUL, "{cell}");
        bench.call(FREE, &[channel])?;
        // The engine has the completion word until its reset is over.
        proves!(image: R110; assert!(bench.lab.machine.now() - began > 100_000_000, "{cell}: it was waited for"));
        bench.end()?;
    }
    Ok(())
}

#[test]
fn a_command_that_finds_the_device_gone_has_the_halt_told_at_once() -> Result<(), Failure> {
    for cell in cells() {
        let (mut bench, channel) = slow(cell)?;
        bench.list(0..40, STATUS_UPDATE_ON_COMPLETION)?;
        assert_eq!(bench.post(START, channel, 0, 40)?, SUCCESS);
        bench.lab.machine.advance(55_000)?;
        let (devnode, place) = (bench.device, bench.pages[ARGUMENTS].0 + 0x300);
        vetoed(bench.lab.run(|k| k.vanish_after(devnode, 0))?)?;
        assert_eq!(bench.call_at(DISPATCH, SUSPEND, &[channel, place])?, UNSUCCESSFUL, "{cell}");
        bench.lab.machine.advance(1_000_000)?;
        let reports: Vec<_> = desk(|d| d.reports.iter().map(|told| (told.channel, told.last)).collect());
        proves!(image: R82, H36;
            assert_eq!(reports, [(CHANNEL, 0)], "{cell}");
            assert_eq!(bench.word()? & 7, TransferStatus::Halted as u64, "{cell}"));
        bench.call(FREE, &[channel])?;
        vetoed(bench.lab.run(|k| k.surprise_remove(devnode))?)?;
        bench.give_back()?;
    }
    Ok(())
}
