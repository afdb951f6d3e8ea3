//! `test`, `reset`: what is copied and checked.

use netdma_ioctl::Statistics;
use serde_json::{Value, json};

use crate::Console;
use crate::chance::{Chance, Generator};
use crate::client::{Claim, Client};
use crate::options::ChannelName;
use crate::pieces::{Batch, DATA};
use crate::table::{self, Table};
use crate::transport::{Transport, Trouble};

/// How far one channel has come.
struct Lane {
    claim: Claim,
    copies: u64,
    bytes: u64,
    /// What was wrong, if anything: the channel is not used any further.
    wrong: Option<String>,
}

/// Copies with one channel of each engine and checks every byte; `false` when one is wrong.
///
/// # Errors
/// There is no engine or no test client.
pub fn test(
    transport: &mut dyn Transport,
    engine: Option<usize>,
    bytes: u64,
    seed: u64,
    as_json: bool,
    console: &mut Console<'_>,
) -> Result<bool, Trouble> {
    let mut client = Client::open(transport)?;
    let claims = client.claim_one_each(engine)?;
    let mut random = Generator::new(seed);
    let mut lanes: Vec<Lane> =
        claims.into_iter().map(|claim| Lane { claim, copies: 0, bytes: 0, wrong: None }).collect();
    let total = bytes.saturating_mul(lanes.len() as u64);
    let mut shown = 0;
    // The engines take turns, so that a broken one shows before the others are done.
    while lanes.iter().any(|lane| lane.bytes < bytes && lane.wrong.is_none()) {
        for lane in lanes.iter_mut().filter(|lane| lane.bytes < bytes && lane.wrong.is_none()) {
            let left = usize::try_from(bytes - lane.bytes).unwrap_or(DATA).min(DATA);
            match copy_batch(&mut client, &lane.claim, left, &mut random) {
                Ok((copies, copied)) => {
                    lane.copies += copies;
                    lane.bytes += copied;
                }
                Err(wrong) => lane.wrong = Some(wrong),
            }
        }
        let percent = lanes.iter().map(|lane| lane.bytes).sum::<u64>().saturating_mul(100) / total.max(1);
        if percent / 10 > shown / 10 {
            writeln!(console.err, "{percent} % copied and checked")?;
            shown = percent;
        }
    }
    let mut counted = Vec::new();
    for lane in &lanes {
        // A channel whose device has left has no counters any more; what was wrong is said all the same.
        counted.push(client.channel_statistics(&lane.claim).ok());
    }
    let good = lanes.iter().all(|lane| lane.wrong.is_none());
    if as_json {
        let list: Vec<Value> =
            lanes.iter().zip(&counted).map(|(lane, counted)| lane.to_json(counted)).collect();
        writeln!(console.out, "{:#}", json!({ "good": good, "seed": seed, "channels": list }))?;
    } else {
        print(&lanes, &counted, console)?;
    }
    Ok(good)
}

/// Copies one batch and checks it: how many copies and bytes, or what was wrong.
fn copy_batch(
    client: &mut Client<'_>,
    claim: &Claim,
    bytes: usize,
    random: &mut Generator,
) -> Result<(u64, u64), String> {
    let mut data = vec![0; bytes.next_multiple_of(8)];
    data.chunks_exact_mut(8).for_each(|word| word.copy_from_slice(&random.next().to_le_bytes()));
    data.truncate(bytes);
    let batch = Batch::plan(&data, random);
    let mut buffer = batch.before.clone();
    client.copy(claim, &batch.request(), &mut buffer).map_err(|trouble| trouble.to_string())?;
    batch.check(&buffer).map_err(|wrong| wrong.to_string())?;
    Ok((batch.pieces.len() as u64, batch.bytes() as u64))
}

impl Lane {
    fn to_json(&self, counted: &Option<Statistics>) -> Value {
        json!({
            "channel": self.claim.title(),
            "processor": self.claim.channel.processor,
            "copies": self.copies,
            "bytes": self.bytes,
            "descriptors": counted.map(|counted| counted.descriptors),
            "batches": counted.map(|counted| counted.batches),
            "interrupts": counted.map(|counted| counted.interrupts),
            "wrong": self.wrong,
        })
    }
}

fn print(lanes: &[Lane], counted: &[Option<Statistics>], console: &mut Console<'_>) -> Result<(), Trouble> {
    let mut table = Table::new(&[
        "Channel",
        "Processor",
        "Copies",
        "Bytes",
        "Descriptors",
        "Batches",
        "Interrupts",
        "Verdict",
    ]);
    for (lane, counted) in lanes.iter().zip(counted) {
        let counter = |which: fn(&Statistics) -> u64| {
            counted.as_ref().map_or_else(|| "-".to_owned(), |counted| which(counted).to_string())
        };
        table.row([
            lane.claim.title(),
            lane.claim.channel.processor.to_string(),
            lane.copies.to_string(),
            lane.bytes.to_string(),
            counter(|counted| counted.descriptors),
            counter(|counted| counted.batches),
            counter(|counted| counted.interrupts),
            if lane.wrong.is_none() { "good" } else { "BAD" }.to_owned(),
        ]);
    }
    table.print(console.out)?;
    writeln!(console.out)?;
    for (lane, wrong) in lanes.iter().filter_map(|lane| Some((lane, lane.wrong.as_ref()?))) {
        writeln!(console.out, "{}: {wrong}", lane.claim.title())?;
    }
    let copies: u64 = lanes.iter().map(|lane| lane.copies).sum();
    let bytes: u64 = lanes.iter().map(|lane| lane.bytes).sum();
    if lanes.iter().all(|lane| lane.wrong.is_none()) {
        writeln!(
            console.out,
            "PASSED: {copies} copies, {}, every byte as it should be",
            table::bytes(bytes)
        )?;
    } else {
        writeln!(console.out, "FAILED: do not use these engines for data you need")?;
    }
    Ok(())
}

/// Bytes that prove a channel after its reset.
const PROOF: usize = 64 << 10;

/// Resets a free channel and proves it with a copy; `false` when the copy is wrong.
///
/// # Errors
/// There is no such channel, somebody has it, or the reset fails.
pub fn reset(
    transport: &mut dyn Transport,
    name: ChannelName,
    as_json: bool,
    console: &mut Console<'_>,
) -> Result<bool, Trouble> {
    let mut client = Client::open(transport)?;
    let claim = client.claim_named(name)?;
    client.reset(&claim)?;
    let outcome = copy_batch(&mut client, &claim, PROOF, &mut Generator::new(1));
    if as_json {
        let wrong = outcome.as_ref().err();
        writeln!(
            console.out,
            "{:#}",
            json!({ "channel": name.to_string(), "good": wrong.is_none(), "wrong": wrong })
        )?;
    } else {
        match &outcome {
            Ok((copies, bytes)) => writeln!(
                console.out,
                "channel {name} was reset and works: {copies} copies, {}, every byte as it should be",
                table::bytes(*bytes)
            )?,
            Err(wrong) => writeln!(console.out, "channel {name} was reset and does not work: {wrong}")?,
        }
    }
    Ok(outcome.is_ok())
}
