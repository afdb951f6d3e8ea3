//! Which processor does what: interrupt service routine, DPC, completion.

#![forbid(unsafe_code)]

use machine::client::ANY_CHANNEL;
use machine::lab::{Failure, Lab, Setup};
use netdma_ioctl::OpenChannel;
use proof::proves;

/// The processors of the machine's last interrupt and of the DPC that followed it.
fn last_interrupt_and_dpc(lab: &mut Lab) -> Result<(u32, u32), Failure> {
    let events = lab.run(|k| k.last_events())?;
    let missing = |what: &str| Failure::Other(format!("no {what} among the last events"));
    let is_interrupt = |what: &str| what.starts_with("interrupt ") && !what.ends_with("not claimed");
    let at =
        events.iter().rposition(|event| is_interrupt(&event.what)).ok_or_else(|| missing("interrupt"))?;
    let after = &events[at..];
    let dpc = after.iter().find(|event| event.what == "DPC runs").ok_or_else(|| missing("DPC"))?;
    Ok((events[at].cpu, dpc.cpu))
}

/// Copies a little on a channel whose completions belong to `processor`, and returns where ISR and DPC ran.
fn copy_for(lab: &mut Lab, processor: u32) -> Result<(u32, u32), Failure> {
    let client = lab.open()?;
    let wanted = OpenChannel { mask: 1 << processor, ..ANY_CHANNEL };
    let channel = client.open_channel(lab, wanted)?;
    proves!(image: R90, R91; assert_eq!(channel.processor, processor));
    let buffer = lab.buffer(4096)?;
    let piece = netdma_ioctl::Piece { source: 0, destination: 2048, length: 100, flags: 0 };
    let copying = client.copy(lab, channel.number, buffer, &[piece])?;
    client.finish(lab, copying)?;
    let processors = last_interrupt_and_dpc(lab)?;
    lab.free(buffer)?;
    client.close(lab)?;
    Ok(processors)
}

#[test]
fn an_isr_on_another_processor_sends_the_dpc_to_the_channels_own() -> Result<(), Failure> {
    let mut lab = Setup::new(1)?.power_on()?;
    // Without messages only the line is left, and lines are delivered to processor 0.
    lab.run(|k| k.limit_messages(Some(0)))?;
    lab.install_all()?;
    let (isr, dpc) = copy_for(&mut lab, 1)?;
    proves!(image: R201, R202, R286; assert_eq!((isr, dpc), (0, 1)));
    Ok(())
}

#[test]
fn with_messages_the_dpc_runs_on_the_processor_asked_for() -> Result<(), Failure> {
    for processor in [0, 1] {
        let mut lab = Setup::new(1)?.boot()?;
        let (_, dpc) = copy_for(&mut lab, processor)?;
        proves!(image: R202; assert_eq!(dpc, processor));
    }
    Ok(())
}

#[test]
fn the_driver_lives_with_a_line_interrupt_when_there_are_no_messages() -> Result<(), Failure> {
    let mut lab = Setup::new(2)?.power_on()?;
    lab.run(|k| k.limit_messages(Some(0)))?;
    lab.install_all()?;
    let client = lab.open()?;
    for _ in 0..2 {
        let channel = client.open_channel(&mut lab, ANY_CHANNEL)?;
        let copied = client.copy_verified(&mut lab, channel.number, 100_000, 1)?;
        let statistics = client.statistics(&mut lab, channel.number)?;
        proves!(image: R53, R54;
            assert_eq!(copied, 100_000);
            assert!(statistics.interrupts > 0 && statistics.late == 0, "{statistics:?}"));
    }
    client.close(&mut lab)?;
    let leaks = lab.shut_down()?;
    assert!(leaks.is_empty(), "{leaks:?}");
    Ok(())
}
