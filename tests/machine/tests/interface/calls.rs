//! Client calls in random order with right and wrong arguments, while the engine runs, halts and reports: no stop, no leak,
//! every cookie told exactly once and in order, and the data of every copy that succeeded in place.

use std::collections::BTreeMap;

use netdma_abi::Version;
use netdma_abi::status::*;
use proof::proves;

use crate::bench::*;

/// Calls of one run, and runs; more are asked for by the environment variables `NETDMA_CALLS` and `NETDMA_SEEDS`.
const CALLS: u64 = 2_000;
const SEEDS: u64 = 10;

/// Bytes under the MDLs of source and destinations.
const LENGTH: u64 = 6 * 4096;

/// A small generator: the run is repeated by its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Bytes that a request writes.
#[derive(Clone, Copy)]
enum Writes {
    Nothing,
    /// From this place of the source to this one of the destination.
    Copy {
        from: u64,
        to: u64,
        length: u64,
    },
    /// So many bytes at the destination's begin, and what they are is not followed.
    Some(u64),
}

/// What the client believes of a channel.
struct Believed {
    /// The client's context.
    context: u64,
    /// Requests accepted and not told yet, oldest first: cookie and effect.
    waiting: Vec<(u64, Writes)>,
    /// The channel's own destination, of [`Data`], until its provider stops.
    destination: usize,
    live: bool,
}

/// Source and destinations, and what the destinations must hold: `None` where a request failed after it may have run.
struct Data<'a> {
    source: Vec<u8>,
    from: Buffer<'a>,
    to: [Buffer<'a>; 2],
    expected: [Vec<Option<u8>>; 2],
}

impl<'a> Data<'a> {
    fn new(b: &'a Bench<'_>, random: &mut Random) -> Self {
        let buffer = |offset| b.buffer(8 * 4096, offset, LENGTH as u32);
        let from = buffer(3);
        let source: Vec<u8> = (0..LENGTH).map(|_| random.next() as u8).collect();
        from.fill(&source);
        let expected = [vec![Some(0); LENGTH as usize], vec![Some(0); LENGTH as usize]];
        Self { source, from, to: [buffer(99), buffer(2_000)], expected }
    }

    fn told(&mut self, destination: usize, writes: Writes, success: bool) {
        let expected = &mut self.expected[destination];
        match writes {
            Writes::Nothing => {}
            Writes::Some(length) => expected[..length as usize].fill(None),
            Writes::Copy { from, to, length } => {
                for at in 0..length {
                    let byte = success.then(|| self.source[(from + at) as usize]);
                    expected[(to + at) as usize] = byte;
                }
            }
        }
    }

    /// Compares a destination that nothing is under way to. Answers how many bytes are known.
    fn compare(&self, destination: usize) -> u64 {
        let there = self.to[destination].bytes(0, LENGTH as usize);
        let mut known = 0;
        for (at, (byte, expected)) in there.iter().zip(&self.expected[destination]).enumerate() {
            let Some(expected) = expected else { continue };
            assert_eq!(byte, expected, "byte {at} of destination {destination}");
            known += 1;
        }
        known
    }
}

/// What a run did.
#[derive(Default)]
struct Done {
    accepted: u64,
    told: u64,
    compared: u64,
}

fn one_run(b: &Bench<'_>, seed: u64, calls: u64) -> Done {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut provider = b.provider();
    let mut running = true;
    let client = b.client(1);
    let mut data = Data::new(b, &mut random);
    let mut done = Done::default();
    // By the client's handle.
    let mut channels: BTreeMap<u64, Believed> = BTreeMap::new();
    let mut dead: Vec<u64> = vec![0, u64::MAX, 0x1234];
    for call in 0..calls {
        let live: Vec<u64> = channels.keys().copied().collect();
        let wrong = random.below(12) == 0;
        let channel = match (wrong, live.is_empty()) {
            (false, false) => live[random.below(live.len() as u64) as usize],
            _ => dead[random.below(dead.len() as u64) as usize],
        };
        let known = channels.contains_key(&channel);
        let out = b.scratch + 0x88;
        // Where a dead channel would write does not matter.
        let destination = channels.get(&channel).map_or(0, |believed| believed.destination);
        let submitted =
            |status: i32, writes: Writes, channels: &mut BTreeMap<u64, Believed>, done: &mut Done| {
                let cookie: u64 = b.k.read(out);
                if status == PENDING {
                    assert!(known && cookie != 0);
                    channels.get_mut(&channel).expect("a channel").waiting.push((cookie, writes));
                    done.accepted += 1;
                } else {
                    assert!(status < 0, "{status:#x}");
                    assert_eq!(cookie, 0, "a refused submission has no cookie");
                }
            };
        match random.below(24) {
            0..=3 => {
                let status = b.call("NetDmaNullTransfer", &[channel, random.below(9) & 0x10, 7, out]) as i32;
                submitted(status, Writes::Nothing, &mut channels, &mut done);
            }
            4..=9 => {
                let (to, from, length) = (random.below(LENGTH), random.below(LENGTH), random.below(4 * 4096));
                b.k.write(out, 0u64);
                let arguments = [channel, data.to[destination].mdl, to, data.from.mdl, from, length, out];
                let status = b.call("NetDmaChainCopyVirtualToVirtual", &arguments) as i32;
                submitted(status, Writes::Copy { from, to, length }, &mut channels, &mut done);
            }
            10 | 11 => {
                let list = b.scratch + 0x200;
                let count = random.below(4);
                let mut writes = 0;
                for number in 0..count {
                    let flags = if random.below(4) == 0 { random.next() & 0xFF } else { 0 };
                    let size = random.below(2_000);
                    let (from, to) = (data.from.physical(0), data.to[destination].physical(0));
                    b.k.write(list + 64 * number, [size | flags << 32, from, to, 0, 0, 0, 0, 0]);
                    writes = size.max(writes);
                }
                b.k.write(out, 0u64);
                let status = b.call("NetDmaSubmitDescriptorList", &[channel, list, count, 7, out]) as i32;
                submitted(status, Writes::Some(writes), &mut channels, &mut done);
            }
            12 => drop(b.call("NetDmaFlushPendingDescriptors", &[channel])),
            13 => drop(b.call("NetDmaSetMaxPendingDescriptors", &[channel, random.below(40)])),
            14 | 15 => drop(b.is_complete(channel, random.below(200))),
            16 => {
                let export = [
                    "NetDmaSuspendChannel",
                    "NetDmaResumeChannel",
                    "NetDmaAbortChannel",
                    "NetDmaResetChannel",
                ][random.below(4) as usize];
                b.call(export, &[channel]);
            }
            17 | 18 => {
                for context in b.channels() {
                    for _ in 0..random.below(30) {
                        b.step(context);
                    }
                }
            }
            19 => {
                for context in b.channels() {
                    b.dpc(context);
                }
            }
            20 if random.below(8) == 0 => {
                for context in b.channels() {
                    b.halt(context);
                    b.dpc(context);
                }
            }
            21 => {
                let (status, channel) = b.allocate_with(client, 0, 0, 64, 0, 0);
                if status == SUCCESS {
                    let taken = channels.values().any(|other| other.live && other.destination == 0);
                    let believed = Believed {
                        context: b.last_context(),
                        waiting: Vec::new(),
                        destination: usize::from(taken),
                        live: true,
                    };
                    channels.insert(channel, believed);
                }
            }
            22 if random.below(6) == 0 => {
                for context in b.channels() {
                    b.run(context);
                }
                let status = b.free(channel);
                assert_eq!(status == SUCCESS, known);
                dead.push(channel);
            }
            // A provider that is stopped is soon started again: otherwise there is little to see.
            23 if random.below(if running { 40 } else { 2 }) == 0 => {
                for context in b.channels() {
                    b.run(context);
                }
                let act = random.below(3);
                if running && act != 1 {
                    channels.values_mut().for_each(|believed| believed.live = false);
                }
                match (running, act) {
                    (true, 0) => {
                        b.stop(provider);
                        running = false;
                    }
                    (true, 1) => {
                        b.power(provider, 5);
                        b.power(provider, 6);
                    }
                    (true, _) => {
                        b.deregister(provider);
                        provider = b.provider();
                    }
                    (false, _) => {
                        b.start(provider);
                        running = true;
                    }
                }
            }
            _ => {}
        }
        settle(b, &mut channels, &mut data, &mut done);
        if call % 64 == 0 {
            let quiet = channels.values().filter(|believed| believed.live && believed.waiting.is_empty());
            done.compared += quiet.map(|believed| data.compare(believed.destination)).sum::<u64>();
        }
        channels.retain(|channel, believed| {
            let gone = dead.contains(channel);
            assert!(!gone || believed.waiting.is_empty(), "a freed channel has told everything");
            !gone
        });
    }
    for context in b.channels() {
        b.run(context);
    }
    assert_eq!(b.deregister_client(client), SUCCESS);
    settle(b, &mut channels, &mut data, &mut done);
    assert!(
        channels.values().all(|believed| believed.waiting.is_empty()),
        "seed {seed}: not everything was told"
    );
    b.deregister(provider);
    done.compared += data.compare(0) + data.compare(1);
    assert!(done.accepted > 100, "seed {seed}: the run did something");
    done
}

/// Strikes what was told off the lists.
fn settle(b: &Bench<'_>, channels: &mut BTreeMap<u64, Believed>, data: &mut Data<'_>, done: &mut Done) {
    for told in b.told() {
        let statuses = [SUCCESS, STATUS_REQUEST_ABORTED, STATUS_IO_DEVICE_ERROR];
        assert!(statuses.contains(&told.status));
        let channel = channels.values_mut().find(|believed| believed.context == told.channel);
        let channel = channel.expect("a channel that was not given back");
        let first = channel.waiting.first().copied();
        let cookie = first.map(|(cookie, _)| cookie);
        assert_eq!(cookie, Some(told.cookie), "told in order, once, and only what was accepted");
        let (_, writes) = channel.waiting.remove(0);
        data.told(channel.destination, writes, told.status == SUCCESS);
        done.told += 1;
    }
}

#[test]
fn random_client_calls_end_well() {
    let wanted = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let calls = wanted("NETDMA_CALLS").unwrap_or(CALLS);
    let seeds = wanted("NETDMA_SEEDS").unwrap_or(SEEDS);
    let mut all = Done::default();
    let mut runs = 0;
    for seed in nthost::replay::seeds(1..=seeds) {
        runs += 1;
        let version = [Version::V2_1, Version::V1_0, Version::V2_0, Version::V1_1][seed as usize % 4];
        on_machine(version, false, machine().seed(seed), |b| {
            let done = one_run(b, seed, calls);
            proves!(image: R209, R263, R276; assert!(b.told().is_empty(), "told twice"));
            assert_eq!(done.told, done.accepted, "seed {seed}: each accepted request is told exactly once");
            all.accepted += done.accepted;
            all.told += done.told;
            all.compared += done.compared;
        });
    }
    let Done { accepted, told, compared } = all;
    println!(
        "{} client calls over {runs} seeds: {accepted} requests accepted, {told} told exactly once, {compared} bytes \
         compared equal; no stop, no leak",
        calls * runs
    );
}
