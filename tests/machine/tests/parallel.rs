//! The three drivers with a host thread for each processor: their code meets itself on several processors at the same
//! time, and every byte still arrives.

#![forbid(unsafe_code)]

use machine::client::ANY_CHANNEL;
use machine::lab::{Failure, Setup};
use netdmactl::pieces::{BUFFER, Batch};
use nthost::random::Random;

/// Rounds of copies.
const ROUNDS: u64 = 10;
/// Channels that copy at the same time.
const CHANNELS: usize = 3;

#[test]
fn copies_of_several_channels_arrive_while_driver_code_runs_on_all_processors() -> Result<(), Failure> {
    // One channel each.
    let mut setup = Setup::new(CHANNELS)?;
    (setup.cpus, setup.free_running) = (3, true);
    let mut lab = setup.boot()?;
    let engine = lab.engine_device(0)?.id;
    let mut random = Random::new(1);
    for round in 0..ROUNDS {
        let client = lab.open()?;
        let mut copies = Vec::new();
        for _ in 0..CHANNELS {
            let channel = client.open_channel(&mut lab, ANY_CHANNEL)?;
            let data: Vec<u8> = (0..60_000).map(|_| random.next() as u8).collect();
            let batch = Batch::plan(&data, &mut || random.next());
            let buffer = lab.buffer(BUFFER)?;
            lab.fill(buffer, &batch.before)?;
            let copying = client.copy(&mut lab, channel.number, buffer, &batch.request())?;
            copies.push((batch, buffer, copying));
        }
        // Every other round an engine is stopped and started under its copies.
        if round % 2 == 1 {
            lab.run(|k| k.rebalance(engine))?.map_err(|error| Failure::Other(error.to_string()))?;
        }
        for (batch, buffer, copying) in copies {
            let outcome = client.finish(&mut lab, copying);
            let after = lab.contents(buffer)?;
            lab.free(buffer)?;
            match outcome {
                Ok(()) => batch.check(&after).map_err(|wrong| Failure::Other(wrong.to_string()))?,
                Err(Failure::Request { .. }) if round % 2 == 1 => {}
                Err(other) => return Err(other),
            }
        }
        client.close(&mut lab)?;
        lab.expect_no_problems()?;
    }
    let left = lab.shut_down()?;
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}
