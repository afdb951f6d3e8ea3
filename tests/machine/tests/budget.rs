//! What the drivers cost in register accesses, counted by the engine.

#![forbid(unsafe_code)]

mod provider;

use ioat_model::{ChannelStatistics, Register};
use machine::client::{ANY_CHANNEL, Client};
use machine::lab::{Failure, Lab, Setup};
use netdma_ioctl::{CONTROL_RESET, OpenChannel, POLLED, Piece};
use proof::proves;

/// Register accesses of one copy of `pieces` pieces, as (reads, writes).
fn cost(
    lab: &mut Lab,
    client: &Client,
    channel: u32,
    pieces: u32,
) -> Result<(u64, u64, ChannelStatistics), Failure> {
    let buffer = lab.buffer(1 << 16)?;
    let piece = |number: u32| Piece {
        source: number * 64,
        destination: (1 << 15) + number * 64,
        length: 33,
        flags: 0,
    };
    let pieces: Vec<Piece> = (0..pieces).map(piece).collect();
    let before = lab.engines[0].channel(0);
    let copying = client.copy(lab, channel, buffer, &pieces)?;
    client.finish(lab, copying)?;
    let now = lab.engines[0].channel(0);
    lab.free(buffer)?;
    let reads = now.accesses.reads() - before.accesses.reads();
    let writes = now.accesses.writes() - before.accesses.writes();
    Ok((reads, writes, before))
}

#[test]
fn a_start_costs_three_register_writes_and_an_append_one_and_neither_a_read() -> Result<(), Failure> {
    let mut lab = Setup::new(1)?.boot()?;
    let client = lab.open()?;
    // Polled, so that no interrupt is re-armed in between: what is left is the posting.
    let channel = client.open_channel(&mut lab, OpenChannel { flags: POLLED, ..ANY_CHANNEL })?.number;

    let (reads, writes, before) = cost(&mut lab, &client, channel, 1)?;
    let now = lab.engines[0].channel(0).accesses;
    assert_eq!((reads, writes), (0, 3), "the first post is a start");
    assert_eq!(now.writes_of(Register::Chainaddr) - before.accesses.writes_of(Register::Chainaddr), 2);

    for _ in 0..3 {
        let (reads, writes, before) = cost(&mut lab, &client, channel, 1)?;
        let now = lab.engines[0].channel(0).accesses;
        assert_eq!((reads, writes), (0, 1), "every other post is an append");
        assert_eq!(now.writes_of(Register::Dmacount) - before.accesses.writes_of(Register::Dmacount), 1);
    }

    client.control(&mut lab, channel, CONTROL_RESET)?;
    let (reads, writes, _) = cost(&mut lab, &client, channel, 1)?;
    assert_eq!((reads, writes), (0, 3), "after a reset the first post is a start again");
    client.close(&mut lab)?;

    // With 64-bit accesses a start is two.
    let mut lab = provider::setup(0x0B00, |_| {}).boot()?;
    let client = lab.open()?;
    let channel = client.open_channel(&mut lab, OpenChannel { flags: POLLED, ..ANY_CHANNEL })?.number;
    let (reads, writes, _) = cost(&mut lab, &client, channel, 1)?;
    assert_eq!((reads, writes), (0, 2), "the first post is a start");
    let (reads, writes, _) = cost(&mut lab, &client, channel, 1)?;
    assert_eq!((reads, writes), (0, 1), "every other post is an append");
    Ok(())
}

#[test]
fn a_batch_costs_one_register_write_however_many_descriptors_it_has() -> Result<(), Failure> {
    let mut lab = Setup::new(1)?.boot()?;
    let client = lab.open()?;
    let wanted = OpenChannel { flags: POLLED, pending_limit: 64, ..ANY_CHANNEL };
    let channel = client.open_channel(&mut lab, wanted)?.number;
    cost(&mut lab, &client, channel, 1)?;
    let descriptors = lab.engines[0].channel(0).descriptors;
    let (reads, writes, _) = cost(&mut lab, &client, channel, 64)?;
    assert_eq!(lab.engines[0].channel(0).descriptors - descriptors, 64);
    proves!(image: R12, R132; assert_eq!((reads, writes), (0, 1)));
    Ok(())
}

#[test]
fn an_interrupt_costs_one_register_write() -> Result<(), Failure> {
    let mut lab = Setup::new(1)?.boot()?;
    let client = lab.open()?;
    let channel = client.open_channel(&mut lab, ANY_CHANNEL)?.number;
    cost(&mut lab, &client, channel, 1)?;
    lab.machine.until_idle()?;
    let before = lab.engines[0].channel(0);
    cost(&mut lab, &client, channel, 1)?;
    lab.machine.until_idle()?;
    let now = lab.engines[0].channel(0);
    assert_eq!(now.accesses.writes() - before.accesses.writes(), 2, "the post and the re-arm");
    let interrupts = now.interrupts_signalled - before.interrupts_signalled;
    let rearms = now.accesses.writes_of(Register::Chanctrl) - before.accesses.writes_of(Register::Chanctrl);
    let reads = now.accesses.reads() - before.accesses.reads();
    assert_eq!((interrupts, rearms, reads), (1, 1, 0));
    Ok(())
}
