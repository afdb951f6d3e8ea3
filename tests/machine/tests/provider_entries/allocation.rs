//! AllocateDmaChannel and FreeDmaChannel.

use ioat_regs::State;
use machine::lab::Failure;
use netdma_abi::descriptor::NULL_TRANSFER;
use proof::proves;

use crate::bench::*;

/// Offset of CompletionPhysicalAddress in the parameters.
const COMPLETION_PHYSICAL: u64 = 0x10;

#[test]
fn an_allocation_answers_context_and_processor_or_changes_nothing() -> Result<(), Failure> {
    let mut bench = bench(0x6F20)?;
    // At DISPATCH_LEVEL, where the machine stops a driver that waits or touches paged memory.
    let at = bench.parameters(0b10, None, u32::MAX)?;
    let (status, context, processor) = bench.allocate_with(DISPATCH, at)?;
    proves!(image: R91, R93, R95, R101, R274; assert_eq!((status, context != 0, processor), (SUCCESS, true, 1)));

    // The only channel is taken: nothing is answered, and the channel that was given still works.
    let at = bench.parameters(0, None, 0)?;
    let (status, nothing, untouched) = bench.allocate_with(PASSIVE, at)?;
    proves!(image: R98, R100, R274; assert_eq!((status, nothing, untouched), (INSUFFICIENT_RESOURCES, 0, u32::MAX)));
    // Size 8: hardware 3.0 takes no null of size zero (H15).
    bench.descriptor(0, 8, NULL_TRANSFER | BOTH, [0; 4])?;
    desk(|d| d.processor = 1);
    assert_eq!(bench.post(START, context, 0, 1)?, SUCCESS);
    bench.settle()?;
    let reports = desk(|d| d.reports.clone());
    proves!(image: R92, R202, R268;
        assert!(!reports.is_empty() && reports.iter().all(|told| (told.channel, told.cpu) == (CHANNEL, 1)), "{reports:?}"));
    bench.call(FREE, &[context])?;

    for (mask, extended, expected) in [
        (0, None, Some(0)),
        (0, Some((0, 0)), Some(0)),
        (0b01, Some((0, 0b10)), Some(1)),
        (1 << 9, None, None),
        (0, Some((3, 1)), None),
    ] {
        let at = bench.parameters(mask, extended, 0)?;
        let (status, context, processor) = bench.allocate_with(PASSIVE, at)?;
        match expected {
            Some(expected) => {
                proves!(image: R102, R103, R105; assert_eq!((status, processor), (SUCCESS, expected), "{mask:#x} {extended:?}"));
                bench.call(FREE, &[context])?;
            }
            None => {
                proves!(image: R274; assert_eq!(status, UNSUCCESSFUL, "no such processor: {mask:#x} {extended:?}"))
            }
        }
    }
    bench.end()
}

#[test]
fn a_free_while_isr_and_dpc_are_in_flight_is_the_last_use_of_the_handle() -> Result<(), Failure> {
    // The channel reports on processor 1; the frees come from both, while service routine and DPC are under way there.
    let mut bench = Bench::new(0x6F20, |options| options.timing.interrupt_lag = 2_000, |_| {})?;
    desk(|d| (d.processor, d.lingers) = (1, 3));
    let (source, target) = (bench.pages[SOURCE].1, bench.pages[TARGET].1);
    let (mut midway, mut reports) = (0, 0);
    for round in 0..200_u64 {
        let at = bench.parameters(0b10, None, 0)?;
        let (status, channel, _) = bench.allocate_with(PASSIVE, at)?;
        assert_eq!(status, SUCCESS);
        for slot in 0..8 {
            bench.descriptor(slot, 64, BOTH, [source, target, 0, 0])?;
        }
        assert_eq!(bench.post(START, channel, 0, 8)?, SUCCESS);
        bench.lab.machine.advance(round * 46)?;
        let free = desk(|d| d.entry(FREE));
        // What is told after the call has returned is told too late, by whoever.
        let told = bench.lab.run(|k| {
            let affinity = 1 + round % 2;
            let thread = k.spawn(
                "a client",
                affinity,
                Box::new(move |k| {
                    k.call("FreeDmaChannel", free, &[channel]);
                    desk(|d| d.freed = Some((d.interrupts.len(), d.reports.len())));
                }),
            );
            k.join(thread);
            desk(|d| d.freed.take())
        })?;
        midway += usize::from(bench.state() != Some(State::Halted));
        bench.settle()?;
        let later = desk(|d| (d.interrupts.len(), d.reports.len()));
        proves!(image: R109, R110; assert_eq!(told, Some(later), "round {round}"));
        reports += later.1;
        desk(|d| {
            d.interrupts.clear();
            d.reports.clear();
        });
        // Whatever it was doing is over before the channel is given again.
        let (channel, _) = bench.allocate()?;
        bench.call(FREE, &[channel])?;
    }
    assert!(midway > 0 && reports > 0, "some frees came in the middle");
    bench.end()
}

#[test]
fn the_processor_of_the_channels_message_is_preferred_where_the_mask_has_it() -> Result<(), Failure> {
    for (message, other) in [(1, 0), (0, 1)] {
        let mut bench = Bench::new(0x6F20, |_| {}, |desk| desk.affinity = Some((0, message)))?;
        for (mask, expected) in [(0b11, message), (0, message), (1 << message, message), (1 << other, other)]
        {
            let at = bench.parameters(mask, None, 0)?;
            let (status, channel, processor) = bench.allocate_with(PASSIVE, at)?;
            proves!(image: R89; assert_eq!((status, processor), (SUCCESS, expected), "message at {message}, mask {mask:#b}"));
            bench.call(FREE, &[channel])?;
        }
        bench.end()?;
    }
    Ok(())
}

#[test]
fn a_dpc_runs_where_the_interface_says_each_time() -> Result<(), Failure> {
    let mut bench = bench(0x6F20)?;
    let (channel, _) = bench.allocate()?;
    for (slot, processor) in [(0, 1), (1, 0), (2, 1), (3, 1)] {
        desk(|d| {
            d.processor = processor;
            d.reports.clear();
        });
        bench.descriptor(slot, 8, NULL_TRANSFER | BOTH, [0; 4])?;
        assert_eq!(bench.post(if slot == 0 { START } else { APPEND }, channel, slot, 1)?, SUCCESS);
        bench.settle()?;
        let reports = desk(|d| d.reports.clone());
        proves!(image: R202; assert!(
            !reports.is_empty() && reports.iter().all(|told| told.cpu == processor), "{processor}: {reports:?}"));
    }
    bench.call(FREE, &[channel])?;
    bench.end()
}

#[test]
fn a_completion_word_that_cannot_be_written_at_once_is_refused() -> Result<(), Failure> {
    let mut bench = bench(0x6F20)?;
    for off in [1, 2, 4] {
        let at = bench.parameters(0, None, 0)?;
        let place = at + COMPLETION_PHYSICAL;
        bench.lab.run(|k| k.write(place, k.read::<u64>(place) + off))?;
        let (status, context, _) = bench.allocate_with(PASSIVE, at)?;
        proves!(image: R274; assert_eq!((status, context), (UNSUCCESSFUL, 0), "{off} bytes off"));
    }
    let (channel, _) = bench.allocate()?;
    bench.call(FREE, &[channel])?;
    bench.end()
}
