//! What the engine's hardware asks of whoever builds its descriptors: rings, completion words, doorbells, lengths, fences,
//! restarts (the H rules that D16 gives to the interface).

use std::collections::BTreeSet;

use netdma_abi::Version;
use netdma_abi::completion::{ARMED, TransferStatus, word};
use netdma_abi::descriptor::*;
use netdma_abi::status::*;
use proof::proves;

use crate::bench::*;
use crate::channels::{copy, submit_list, with_channel};

const V: Version = Version::V2_1;
const BOTH: u32 = INTERRUPT_ON_COMPLETION | STATUS_UPDATE_ON_COMPLETION;

fn flags(words: &[u64; 8]) -> u32 {
    (words[0] >> 32) as u32
}

fn size(words: &[u64; 8]) -> u64 {
    words[0] & 0xFFFF_FFFF
}

#[test]
fn a_ring_is_a_circle_of_aligned_descriptors_that_begin_as_zeros() {
    with_bench(V, |b| {
        let provider = b.provider();
        let client = b.client(1);
        for (asked, given) in
            [(0, None), (1, Some(64)), (64, Some(64)), (1000, Some(1024)), (65_536, Some(65_536))]
        {
            let (status, channel) = b.allocate_with(client, 0, 0, asked, 0, 0);
            assert_eq!(status, SUCCESS, "{asked}");
            let size = u64::from(b.answered().2);
            proves!(image: H14; assert!(size.is_power_of_two() && size <= 65_536, "{asked}: {size}"));
            assert!(given.is_none_or(|given| given == size), "{asked}: {size}");
            let state = b.channel(b.first()).asked;
            proves!(image: H14;
                assert_eq!(state.word_physical % 64, 0);
                assert_eq!(b.k.read::<u64>(state.word_virtual) & !ARMED, 0, "{asked}: the word names nothing"));

            b.calls();
            b.post(channel);
            let first = b.calls()[0].address;
            let mut seen = BTreeSet::new();
            let mut at = first;
            while seen.insert(at) {
                let words = b.descriptor(at);
                proves!(image: H14; assert_eq!(at % 64, 0));
                if at != first {
                    proves!(image: H14; assert_eq!([words[0], words[1], words[2], words[4], words[5]], [0; 5], "{at:#x}"));
                }
                at = words[3];
            }
            proves!(image: H14; assert_eq!((at, seen.len() as u64), (first, size), "{asked}: round, and all of them"));
            b.run(b.first());
            b.dpc(b.first());
            assert_eq!(b.free(channel), SUCCESS);
        }
        b.deregister(provider);
        b.deregister_client(client);
    });
}

#[test]
fn ring_and_word_come_from_the_adapter_and_lie_within_the_engines_reach() {
    // Memory of the device's adapter: with remapping it has addresses of its own, which is how the start finds out (D17).
    with_machine(V, true, |b| {
        let provider = b.provider();
        let seen = b.event("RemappedMemoryRefused").expect("the named event");
        proves!(image: H7; assert_ne!(seen.value("logical"), seen.value("physical")));
        b.deregister(provider);
    });
    with_bench(V, |b| {
        let provider = b.register();
        // The machine has memory above 4 GiB, too: an engine that does not reach it is not served.
        b.start_with(provider, 1, 1 << 20, (1 << 32) - 1);
        proves!(image: H7; assert_eq!(b.event("StartRefused").and_then(|seen| seen.value("reason")), Some(8)));
        let reach = (1 << 40) - 1;
        b.start_with(provider, 1, 1 << 20, reach);
        let client = b.client(1);
        let channel = b.allocate(client);
        b.calls();
        b.post(channel);
        let first = b.calls()[0].address;
        let word = b.channel(b.first()).asked.word_physical;
        proves!(image: H7; assert!(first <= reach && word <= reach));
        let out = b.scratch + 0x88;
        let to = b.buffer(4096, 0, 100);
        let beyond = [channel, to.mdl, 0, reach - 49, 100, 0, 0, out];
        let status = b.call("NetDmaChainCopyPhysicalToVirtual", &beyond) as i32;
        proves!(image: H7; assert_eq!(status, STATUS_INVALID_PARAMETER));
        b.run(b.first());
        b.dpc(b.first());
        drop(to);
        b.free(channel);
        b.deregister_client(client);
        b.deregister(provider);
    });
}

#[test]
fn a_batch_is_one_doorbell_and_its_last_descriptor_alone_asks_for_word_and_interrupt() {
    with_channel(V, |b, channel| {
        assert_eq!(b.set_limit(channel, 8), SUCCESS);
        for _ in 0..8 {
            b.post(channel);
        }
        let calls = b.calls();
        proves!(image: H21; assert_eq!(calls.iter().map(|call| (call.entry, call.count)).collect::<Vec<_>>(), [("start", 8)]));
        // Three more wait for the batch to fill, until somebody asks.
        for _ in 0..3 {
            b.post(channel);
        }
        proves!(image: H21; assert!(b.calls().is_empty()));
        b.call("NetDmaFlushPendingDescriptors", &[channel]);
        let calls = b.calls();
        proves!(image: H21; assert_eq!(calls.iter().map(|call| (call.entry, call.count)).collect::<Vec<_>>(), [("append", 3)]));
        b.run(b.first());
        b.dpc(b.first());
        let asked: Vec<u32> = b.channel(b.first()).ran.iter().map(|words| flags(words) & BOTH).collect();
        proves!(image: H21; assert_eq!(asked, [0, 0, 0, 0, 0, 0, 0, BOTH, 0, 0, BOTH]));
    });
}

#[test]
fn a_word_that_names_nothing_in_flight_is_no_completion_and_is_not_walked() {
    for foreign in [0x7777_0000_0001, !0x3F, 0x1000] {
        with_channel(V, |b, channel| {
            let cookies = [b.post(channel), b.post(channel)];
            b.calls();
            b.write_word(b.first(), foreign);
            proves!(image: H23; assert!(!b.is_complete(channel, cookies[0]) || b.told()[0].status == STATUS_IO_DEVICE_ERROR));
            let seen = b.event("ForeignCompletion").and_then(|seen| seen.value("word"));
            proves!(image: H23;
                assert_eq!(seen, Some(foreign), "a fault with a name");
                assert_eq!(b.entries(), ["reset"], "{foreign:#x}"));
        });
    }
}

#[test]
fn a_word_without_an_address_or_with_one_of_an_earlier_chain_completes_nothing() {
    with_channel(V, |b, channel| {
        let first = b.post(channel);
        let old = b.calls()[0].address;
        for status in [TransferStatus::Active, TransferStatus::Idle] {
            b.write_word(b.first(), word(0, status));
            proves!(image: H24; assert!(!b.is_complete(channel, first), "{status:?}"));
        }
        b.run(b.first());
        b.dpc(b.first());
        assert_eq!(b.told().len(), 1);
        // A new chain, and the word still says what it said of the last one.
        assert_eq!(b.call("NetDmaResetChannel", &[channel]) as i32, SUCCESS);
        b.calls();
        let second = b.post(channel);
        assert_eq!(b.entries(), ["start"]);
        for status in [TransferStatus::Active, TransferStatus::Idle] {
            b.write_word(b.first(), word(old, status));
            proves!(image: H24; assert!(!b.is_complete(channel, second), "{status:?}"));
        }
        proves!(image: H24; assert!(b.event("ForeignCompletion").is_none() && b.calls().is_empty(), "and nobody takes offence"));
        b.run(b.first());
        b.dpc(b.first());
        assert_eq!(b.told()[0].cookie, second);
    });
}

#[test]
fn no_descriptor_is_empty_or_longer_than_the_engine_takes() {
    for limit in [4096, 8192, 1 << 20] {
        with_bench(V, |b| {
            let provider = b.register();
            b.start_with(provider, 1, limit, (1 << 40) - 1);
            let client = b.client(1);
            let channel = b.allocate(client);
            let (to, from) = (b.buffer(9 * 4096, 0, 8 * 4096), b.buffer(9 * 4096, 0, 8 * 4096));
            for (at, length) in [(0, 8 * 4096), (1, 4095), (4095, 2), (77, 20_000), (4096, 1)] {
                assert_eq!(copy(b, channel, (&to, at), (&from, at), length).0, PENDING);
            }
            assert_eq!(
                submit_list(b, channel, &[[0; 4]]).0,
                PENDING,
                "an empty descriptor of a client's list"
            );
            b.post(channel);
            b.run(b.first());
            b.dpc(b.first());
            let ran = b.channel(b.first()).ran;
            let sizes: Vec<u64> = ran.iter().map(size).collect();
            proves!(image: H25; assert!(sizes.iter().all(|size| (1..=u64::from(limit)).contains(size)), "{limit}: {sizes:?}"));
            let moved: u64 = ran.iter().filter(|words| flags(words) & NULL_TRANSFER == 0).map(size).sum();
            assert_eq!(moved, 8 * 4096 + 4095 + 2 + 20_000 + 1, "{limit}");
            b.free(channel);
            b.deregister(provider);
            b.deregister_client(client);
        });
    }
}

#[test]
fn a_descriptor_of_size_zero_is_accepted_and_moves_nothing() {
    with_channel(V, |b, channel| {
        let to = b.buffer(4096, 0, 100);
        to.fill(&[5; 100]);
        // Source, destination and the following copy are real.
        let list = [[0, to.physical(50), to.physical(0), 0], [50, to.physical(0), to.physical(50), 0]];
        let (status, cookie) = submit_list(b, channel, &list);
        proves!(image: R165; assert_eq!(status, PENDING));
        b.run(b.first());
        b.dpc(b.first());
        let ran = b.channel(b.first()).ran;
        proves!(image: R165;
            assert!(b.is_complete(channel, cookie));
            assert_ne!(flags(&ran[0]) & NULL_TRANSFER, 0, "what no engine from 3.0 on would take becomes a null (Q3)");
            assert_eq!(b.told().iter().map(|told| (told.cookie, told.status)).collect::<Vec<_>>(), [(cookie, SUCCESS)]));
        assert_eq!(to.bytes(0, 100), [5; 100]);
    });
}

#[test]
fn a_fence_is_on_the_descriptor_before_the_one_that_needs_it() {
    with_channel(V, |b, channel| {
        let to = b.buffer(4096, 0, 192);
        to.fill(&[1; 64]);
        let fenced = 64 | u64::from(SERIALIZE_TRANSFER) << 32;
        // The second copies on what the first one wrote.
        let list = [[fenced, to.physical(0), to.physical(64), 0], [64, to.physical(64), to.physical(128), 0]];
        assert_eq!(submit_list(b, channel, &list).0, PENDING);
        b.run(b.first());
        b.dpc(b.first());
        let fences: Vec<bool> =
            b.channel(b.first()).ran.iter().map(|words| flags(words) & SERIALIZE_TRANSFER != 0).collect();
        proves!(image: H26; assert_eq!(fences, [true, false]));
        assert_eq!(to.bytes(128, 64), [1; 64]);
    });
}

#[test]
fn an_engine_that_halts_on_everything_is_started_once_for_each_batch_and_never_by_itself() {
    with_channel(V, |b, channel| {
        let handle = b.channel(b.first()).asked.handle;
        for round in 0..50 {
            let cookie = b.post(channel);
            proves!(image: H35; assert_eq!(b.entries(), ["start"], "{round}"));
            b.halt(b.first());
            for _ in 0..3 {
                b.call_at(DISPATCH, "NetDmaInterruptDpc", &[handle, 0]);
            }
            let told: Vec<_> = b.told().iter().map(|told| (told.cookie, told.status)).collect();
            assert_eq!(told, [(cookie, STATUS_IO_DEVICE_ERROR)], "{round}");
            proves!(image: H35; assert!(b.calls().is_empty(), "{round}: what failed is not tried again"));
        }
    });
    // One that cannot even be started is given up after a reset and one more try.
    with_channel(V, |b, channel| {
        b.script(|script| drop(script.fail.insert("start", vec![STATUS_UNSUCCESSFUL; 100])));
        let cookie = b.post(channel);
        proves!(image: H35; assert_eq!(b.entries(), ["start", "start", "reset", "start"]));
        let told = b.told();
        proves!(image: H35; assert_eq!((told.len(), told[0].cookie, told[0].status), (1, cookie, STATUS_IO_DEVICE_ERROR)));
        b.script(|script| script.fail.clear());
    });
}
