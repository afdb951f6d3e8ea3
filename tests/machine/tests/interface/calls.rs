//! Client calls in random order with right and wrong arguments, while the engine runs, halts and reports: no stop, no leak,
//! every cookie told exactly once and in order.

use std::collections::BTreeMap;

use netdma_abi::Version;
use netdma_abi::status::*;
use proof::proves;

use crate::bench::*;

/// Calls of one run, and runs; a longer run is asked for by the environment variable `NETDMA_CALLS`.
const CALLS: u32 = 2_000;
const SEEDS: std::ops::RangeInclusive<u64> = 1..=10;

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

/// What the client believes of a channel.
#[derive(Default)]
struct Believed {
    /// The client's context.
    context: u64,
    /// Cookies accepted and not told yet, oldest first.
    waiting: Vec<u64>,
}

fn one_run(b: &Bench<'_>, seed: u64, calls: u32) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut provider = b.provider();
    let mut running = true;
    let client = b.client(1);
    let (to, from) = (b.buffer(8 * 4096, 99, 6 * 4096), b.buffer(8 * 4096, 3, 6 * 4096));
    // By the client's handle.
    let mut channels: BTreeMap<u64, Believed> = BTreeMap::new();
    let mut dead: Vec<u64> = vec![0, u64::MAX, 0x1234];
    let mut accepted = 0usize;
    for _ in 0..calls {
        let live: Vec<u64> = channels.keys().copied().collect();
        let wrong = random.below(12) == 0;
        let channel = match (wrong, live.is_empty()) {
            (false, false) => live[random.below(live.len() as u64) as usize],
            _ => dead[random.below(dead.len() as u64) as usize],
        };
        let known = channels.contains_key(&channel);
        let out = b.scratch + 0x88;
        let submitted = |status: i32, channels: &mut BTreeMap<u64, Believed>, accepted: &mut usize| {
            let cookie: u64 = b.k.read(out);
            if status == PENDING {
                assert!(known && cookie != 0);
                channels.get_mut(&channel).expect("a channel").waiting.push(cookie);
                *accepted += 1;
            } else {
                assert!(status < 0, "{status:#x}");
                assert_eq!(cookie, 0, "a refused submission has no cookie");
            }
        };
        match random.below(24) {
            0..=3 => {
                let status = b.call("NetDmaNullTransfer", &[channel, random.below(9) & 0x10, 7, out]) as i32;
                submitted(status, &mut channels, &mut accepted);
            }
            4..=9 => {
                let (at, length) = (random.below(6 * 4096), random.below(4 * 4096));
                b.k.write(out, 0u64);
                let arguments = [channel, to.mdl, at, from.mdl, random.below(6 * 4096), length, out];
                let status = b.call("NetDmaChainCopyVirtualToVirtual", &arguments) as i32;
                submitted(status, &mut channels, &mut accepted);
            }
            10 | 11 => {
                let list = b.scratch + 0x200;
                let count = random.below(4);
                for number in 0..count {
                    let flags = if random.below(4) == 0 { random.next() & 0xFF } else { 0 };
                    let words =
                        [random.below(3_900) | flags << 32, from.physical(0), to.physical(0), 0, 0, 0, 0, 0];
                    b.k.write(list + 64 * number, words);
                }
                b.k.write(out, 0u64);
                let status = b.call("NetDmaSubmitDescriptorList", &[channel, list, count, 7, out]) as i32;
                submitted(status, &mut channels, &mut accepted);
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
                    channels.insert(channel, Believed { context: b.last_context(), waiting: Vec::new() });
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
            23 if random.below(40) == 0 => {
                for context in b.channels() {
                    b.run(context);
                }
                match (running, random.below(3)) {
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
        settle(b, &mut channels);
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
    settle(b, &mut channels);
    assert!(
        channels.values().all(|believed| believed.waiting.is_empty()),
        "seed {seed}: not everything was told"
    );
    b.deregister(provider);
    assert!(accepted > 100, "seed {seed}: the run did something");
}

/// Strikes what was told off the lists.
fn settle(b: &Bench<'_>, channels: &mut BTreeMap<u64, Believed>) {
    for told in b.told() {
        let statuses = [SUCCESS, STATUS_REQUEST_ABORTED, STATUS_IO_DEVICE_ERROR];
        assert!(statuses.contains(&told.status));
        let channel = channels.values_mut().find(|believed| believed.context == told.channel);
        let waiting = &mut channel.expect("a channel that was not given back").waiting;
        assert_eq!(waiting.first(), Some(&told.cookie), "told in order, once, and only what was accepted");
        waiting.remove(0);
    }
}

#[test]
fn random_client_calls_end_well() {
    let calls = std::env::var("NETDMA_CALLS").ok().and_then(|text| text.parse().ok()).unwrap_or(CALLS);
    for seed in nthost::replay::seeds(SEEDS) {
        let version = [Version::V2_1, Version::V1_0, Version::V2_0, Version::V1_1][seed as usize % 4];
        on_machine(version, false, machine().seed(seed), |b| {
            one_run(b, seed, calls);
            proves!(image: R209, R263, R276; assert!(b.told().is_empty(), "told twice"));
        });
    }
}
