//! Allocation, copies into descriptors, starts and appends (spec 3.8 to 3.11, 3.20, 3.24).

use netdma_abi::Version;
use netdma_abi::completion::ARMED;
use netdma_abi::descriptor::*;
use netdma_abi::status::*;
use proof::proves;

use crate::bench::*;

const V: Version = Version::V2_1;

/// A started provider with one channel of one client, and everything given back afterwards.
pub fn with_channel(version: Version, work: impl FnOnce(&Bench<'_>, u64)) {
    with_bench(version, |b| {
        let provider = b.provider();
        let client = b.client(0xC11E27);
        let channel = b.allocate(client);
        b.calls();
        work(b, channel);
        b.free(channel);
        b.deregister(provider);
        b.deregister_client(client);
    });
}

#[test]
fn an_allocation_asks_the_provider_as_revision_2() {
    with_bench(V, |b| {
        let provider = b.provider();
        let client = b.client(1);
        b.calls();
        let (status, channel) = b.allocate_with(client, 0, 0, 0, 0, 0x3);
        assert_eq!(status, SUCCESS);
        let calls = b.calls();
        proves!(image: R83; assert_eq!((calls.len(), calls[0].entry), (1, "allocate")));
        proves!(image: R84, R253; assert!(calls[0].irql <= DISPATCH));
        let asked = b.channel(b.first()).asked;
        proves!(image: R85; assert_eq!(asked.revision, 2));
        proves!(image: R86; assert_eq!((asked.size, asked.flags), (0x38, 0)));
        proves!(image: R87; assert_eq!(b.k.physical(asked.word_virtual), Some(asked.word_physical)));
        proves!(image: R88; assert_eq!(asked.word_physical % 8, 0));
        proves!(image: R94; assert_eq!(asked.priority, 0));
        proves!(image: R104; assert_eq!((asked.mask, asked.mask_ex), (3, (3, 0))));
        let (cpu, provider_id, ring) = b.answered();
        assert_eq!((cpu, provider_id, ring), (1, 1, 256));
        let second = b.allocate(client);
        let other = b.channel(b.first() + 1).asked;
        proves!(image: R88; assert_ne!(other.word_physical, asked.word_physical));
        assert_ne!(other.handle, asked.handle);
        b.free(second);
        b.free(channel);
        b.deregister(provider);
        b.deregister_client(client);
    });
}

#[test]
fn processors_outside_group_0_are_asked_of_group_aware_providers_only() {
    for (flags, expected) in [(0, (0, 0)), (2, (6, 1))] {
        with_bench(V, |b| {
            let (status, provider) = b.register_with(&Table { flags, ..b.table() });
            assert_eq!(status, SUCCESS);
            b.start(provider);
            let client = b.client(1);
            let (status, channel) = b.allocate_with(client, 0, 0, 0, 1, 6);
            assert_eq!(status, SUCCESS);
            let asked = b.channel(b.first()).asked;
            proves!(image: R55, R104; assert_eq!((asked.mask_ex, asked.mask), (expected, 0)));
            b.free(channel);
            b.deregister(provider);
            b.deregister_client(client);
        });
    }
}

#[test]
fn a_failed_allocation_is_not_freed_and_costs_no_channel() {
    with_bench(V, |b| {
        let provider = b.provider();
        let client = b.client(1);
        b.script(|script| {
            drop(script.fail.insert("allocate", vec![STATUS_INSUFFICIENT_RESOURCES, STATUS_UNSUCCESSFUL]))
        });
        b.calls();
        assert_eq!(b.allocate_with(client, 0, 0, 0, 0, 0), (STATUS_INSUFFICIENT_RESOURCES, 0));
        assert_eq!(b.allocate_with(client, 0, 0, 0, 0, 0), (STATUS_UNSUCCESSFUL, 0));
        proves!(image: R99; assert_eq!(b.entries(), ["allocate", "allocate"]));
        let both = (b.allocate(client), b.allocate(client));
        proves!(image: R276; assert_ne!(both.0, both.1));
        b.free(both.0);
        b.free(both.1);
        b.deregister(provider);
        b.deregister_client(client);
    });
}

#[test]
fn odd_parameters_are_refused_before_the_provider_is_asked() {
    with_bench(V, |b| {
        let provider = b.provider();
        let client = b.client(1);
        b.calls();
        assert_eq!(b.allocate_with(client, 0, 0, 65_537, 0, 0), (STATUS_INVALID_PARAMETER, 0));
        assert_eq!(b.allocate_with(client, 0, 2, 0, 0, 0), (STATUS_INVALID_PARAMETER, 0));
        assert_eq!(b.allocate_with(client, 99, 0, 0, 0, 0), (STATUS_INVALID_PARAMETER, 0));
        assert_eq!(b.allocate_with(0, 0, 0, 0, 0, 0), (STATUS_INVALID_HANDLE, 0));
        assert!(b.calls().is_empty());
        b.deregister(provider);
        b.deregister_client(client);
    });
}

#[test]
fn ring_pages_beyond_the_engines_reach_refuse_the_channel() {
    with_bench(V, |b| {
        let provider = b.register();
        b.start_with(provider, 2, 4096, 0xFFF);
        assert_eq!(b.event("StartRefused").and_then(|seen| seen.value("reason")), Some(8));
        b.deregister(provider);
    });
}

#[test]
fn the_first_post_is_a_start_and_later_ones_append_where_the_tail_points() {
    with_channel(V, |b, channel| {
        b.post(channel);
        b.post(channel);
        let calls = b.calls();
        proves!(image: R111; assert_eq!((calls[0].entry, calls[0].count), ("start", 1)));
        proves!(image: R161; assert_eq!(calls[0].word, ARMED));
        proves!(image: R127; assert_eq!((calls[1].entry, calls[1].count), ("append", 1)));
        proves!(image: R120, R134; assert_eq!(b.descriptor(calls[0].address)[3], calls[1].address));
        let firsts = b.firsts();
        proves!(image: R121; assert_eq!(firsts.len(), 2));
        proves!(image: R121; assert!(firsts.iter().all(|(at, physical)| b.k.physical(*at) == Some(*physical))));
        proves!(image: R96; assert!(calls.iter().all(|call| call.context == b.first())));
        proves!(image: R122; assert!(calls.iter().all(|call| call.address.is_multiple_of(64))));
        proves!(image: R253; assert!(calls.iter().all(|call| call.irql <= DISPATCH)));
        b.run(b.first());
        b.dpc(b.first());
        assert_eq!(b.told().len(), 2);
    });
}

#[test]
fn a_posted_descriptor_is_not_modified_from_2_0_on() {
    with_channel(V, |b, channel| {
        b.post(channel);
        let first = b.calls()[0].address;
        let before = b.descriptor(first);
        b.post(channel);
        proves!(image: R133; assert_eq!(b.descriptor(first), before));
        b.run(b.first());
        b.dpc(b.first());
    });
}

#[test]
fn below_2_0_lists_end_at_zero_and_the_tail_is_linked_before_an_append() {
    for version in [Version::V1_0, Version::V1_1] {
        with_channel(version, |b, channel| {
            b.post(channel);
            let first = b.calls()[0].address;
            assert_eq!(b.descriptor(first)[3], 0);
            b.post(channel);
            let calls = b.calls();
            proves!(image: R128; assert_eq!((calls[0].entry, b.descriptor(first)[3]), ("append", calls[0].address)));
            assert_eq!(b.run(b.first()), 2);
            b.dpc(b.first());
            proves!(image: R19; assert_eq!(b.told().len(), 2));
        });
    }
}

/// A copy between two buffers: destination offset, source offset, length.
pub fn copy(
    b: &Bench<'_>,
    channel: u64,
    to: (&Buffer<'_>, u32),
    from: (&Buffer<'_>, u32),
    length: u32,
) -> (i32, u64) {
    let out = b.scratch + 0x88;
    let arguments = [channel, to.0.mdl, to.1.into(), from.0.mdl, from.1.into(), length.into(), out];
    let status = b.call("NetDmaChainCopyVirtualToVirtual", &arguments) as i32;
    (status, b.k.read(out))
}

#[test]
fn a_copy_between_mdl_chains_moves_exactly_its_bytes() {
    for version in [Version::V1_0, Version::V2_1] {
        with_channel(version, |b, channel| {
            let from = b.buffer(5 * 4096, 0x777, 3 * 4096);
            let to = b.buffer(5 * 4096, 0x123, 3 * 4096 + 100);
            let data: Vec<u8> = (0..3 * 4096u32).map(|n| (n % 251) as u8).collect();
            from.fill(&data);
            let (status, cookie) = copy(b, channel, (&to, 17), (&from, 5), 10_000);
            assert_eq!(status, PENDING);
            b.run(b.first());
            b.dpc(b.first());
            assert_eq!(to.bytes(17, 10_000), data[5..10_005]);
            assert!(to.bytes(0, 17).iter().chain(&to.bytes(10_017, 50)).all(|byte| *byte == 0));
            let told = b.told();
            assert_eq!((told.len(), told[0].cookie, told[0].status), (1, cookie, SUCCESS));
            let ran = b.channel(b.first()).ran;
            let flags = |words: &[u64; 8]| (words[0] >> 32) as u32;
            if version < Version::V2_0 {
                proves!(image: R21, R234; assert!(ran.iter().all(|words| flags(words) & RESERVED_MASK_1X == 0)));
            }
            for words in &ran {
                let (size, flags) = (words[0] & 0xFFFF_FFFF, flags(words));
                proves!(image: R160; assert_eq!(flags & (RESERVED_MASK | OP_TYPE_MASK), 0));
                for (first, second, flag) in
                    [(words[1], words[4], SOURCE_PAGE_BREAK), (words[2], words[5], DESTINATION_PAGE_BREAK)]
                {
                    let crosses = first % 4096 + size > 4096;
                    if flags & flag != 0 {
                        proves!(image: R232; assert_eq!(second % 4096, 0));
                        proves!(image: R233, R235; assert!(crosses && second != (first | 0xFFF) + 1));
                    }
                }
            }
        });
    }
}

#[test]
fn a_chain_of_several_mdls_is_one_buffer() {
    with_channel(V, |b, channel| {
        let (first, second) = (b.buffer(4096, 100, 300), b.buffer(4096, 9, 500));
        b.k.write(first.mdl, second.mdl);
        first.fill(&[1; 300]);
        second.fill(&[2; 500]);
        let to = b.buffer(8192, 4000, 1000);
        let (status, _) = copy(b, channel, (&to, 0), (&first, 200), 600);
        assert_eq!(status, PENDING);
        b.run(b.first());
        b.dpc(b.first());
        assert_eq!(to.bytes(0, 600), [vec![1; 100], vec![2; 500]].concat());
        b.k.write(first.mdl, 0u64);
    });
}

#[test]
fn lengths_and_offsets_that_a_chain_does_not_cover_are_refused() {
    with_channel(V, |b, channel| {
        let (to, from) = (b.buffer(4096, 0, 1000), b.buffer(4096, 0, 1000));
        for (to_offset, from_offset, length) in [
            (0, 0, 1001),
            (1, 0, 1000),
            (0, 1, 1000),
            (1000, 0, 1),
            (u32::MAX, 0, 1),
            (0, 0, u32::MAX),
            (0, 0, 0),
        ] {
            let refused = copy(b, channel, (&to, to_offset), (&from, from_offset), length);
            assert_eq!(refused.0, STATUS_INVALID_PARAMETER, "{to_offset} {from_offset} {length}");
        }
        let out = b.scratch + 0x88;
        for (to, from) in [(0, from.mdl), (to.mdl, 0)] {
            let status = b.call("NetDmaChainCopyVirtualToVirtual", &[channel, to, 0, from, 0, 8, out]);
            assert_eq!(status as i32, STATUS_INVALID_PARAMETER);
        }
        let status = b.call("NetDmaChainCopyVirtualToVirtual", &[channel, to.mdl, 0, from.mdl, 0, 8, 0]);
        assert_eq!(status as i32, STATUS_INVALID_PARAMETER);
        assert!(b.calls().is_empty());
    });
}

#[test]
fn a_physical_source_is_copied_with_the_clients_flags() {
    with_channel(V, |b, channel| {
        let (to, from) = (b.buffer(4096, 7, 100), b.buffer(4096, 0, 100));
        from.fill(&[9; 100]);
        let out = b.scratch + 0x88;
        let flags = SERIALIZE_TRANSFER | SOURCE_NO_SNOOP;
        let arguments =
            |flags: u32, source: u64| [channel, to.mdl, 0, source, 100, flags.into(), 0xC0FFEE, out];
        let status = b.call("NetDmaChainCopyPhysicalToVirtual", &arguments(flags, from.physical(0)));
        assert_eq!(status as i32, PENDING);
        b.run(b.first());
        b.dpc(b.first());
        assert_eq!(to.bytes(0, 100), [9; 100]);
        assert_eq!(b.told()[0].user, 0xC0FFEE);
        let words = b.channel(b.first()).ran[0];
        let given = (words[0] >> 32) as u32;
        assert_eq!(given, flags | STATUS_UPDATE_ON_COMPLETION | INTERRUPT_ON_COMPLETION);
        for forbidden in [INTERRUPT_ON_COMPLETION, NULL_TRANSFER, 0x100, OP_TYPE_CONTEXT_CHANGE] {
            let status = b.call("NetDmaChainCopyPhysicalToVirtual", &arguments(forbidden, 0x1000));
            assert_eq!(status as i32, STATUS_INVALID_PARAMETER);
        }
        let status = b.call("NetDmaChainCopyPhysicalToVirtual", &arguments(0, 1 << 40));
        proves!(image: R70; assert_eq!(status as i32, STATUS_INVALID_PARAMETER));
    });
}

#[test]
fn a_copy_longer_than_the_provider_takes_is_split() {
    with_bench(V, |b| {
        let provider = b.register();
        b.start_with(provider, 1, 4096, (1 << 40) - 1);
        let client = b.client(1);
        let channel = b.allocate(client);
        let to = b.buffer(5 * 4096, 0, 4 * 4096);
        let out = b.scratch + 0x88;
        let arguments = [channel, to.mdl, 0, to.physical(0) & !0xFFF, 4096, 0, 0, out];
        assert_eq!(b.call("NetDmaChainCopyPhysicalToVirtual", &arguments) as i32, PENDING);
        let from = b.buffer(5 * 4096, 1, 4 * 4096);
        assert_eq!(copy(b, channel, (&to, 0), (&from, 0), 4 * 4096).0, PENDING);
        b.run(b.first());
        b.dpc(b.first());
        let ran = b.channel(b.first()).ran;
        proves!(image: R69; assert!(ran.iter().all(|words| words[0] & 0xFFFF_FFFF <= 4096)));
        assert_eq!(ran.iter().map(|words| words[0] & 0xFFFF_FFFF).sum::<u64>(), 5 * 4096);
        b.free(channel);
        b.deregister(provider);
        b.deregister_client(client);
    });
}

#[test]
fn a_null_transfer_carries_valid_size_and_addresses() {
    with_channel(V, |b, channel| {
        b.post(channel);
        let at = b.calls()[0].address;
        let words = b.descriptor(at);
        proves!(image: R171; assert!(words[0] & 0xFFFF_FFFF != 0 && words[1] == at && words[2] == at));
        assert_ne!((words[0] >> 32) as u32 & NULL_TRANSFER, 0);
        b.run(b.first());
        b.dpc(b.first());
    });
}

/// Writes descriptors for `NetDmaSubmitDescriptorList` and submits them.
pub fn submit_list(b: &Bench<'_>, channel: u64, list: &[[u64; 4]]) -> (i32, u64) {
    let (at, out) = (b.scratch + 0x200, b.scratch + 0x88);
    for (number, [size_and_flags, source, destination, next_source]) in (0..).zip(list) {
        let words = [*size_and_flags, *source, *destination, u64::MAX, *next_source, 0, u64::MAX, u64::MAX];
        b.k.write(at + 64 * number, words);
    }
    let status = b.call("NetDmaSubmitDescriptorList", &[channel, at, list.len() as u64, 5, out]) as i32;
    (status, b.k.read(out))
}

#[test]
fn a_list_of_descriptors_is_one_request() {
    with_channel(V, |b, channel| {
        let (from, to) = (b.buffer(3 * 4096, 0, 100), b.buffer(4096, 0, 100));
        from.fill(&[3; 100]);
        let (source, destination) = (from.physical(0), to.physical(0));
        let null = u64::from(NULL_TRANSFER) << 32;
        let list = [[40, source, destination, 0], [null, 0, 0, 0], [60, source + 40, destination + 40, 0]];
        let (status, cookie) = submit_list(b, channel, &list);
        assert_eq!(status, PENDING);
        let calls = b.calls();
        proves!(image: R12; assert_eq!((calls.len(), calls[0].entry, calls[0].count), (1, "start", 3)));
        b.run(b.first());
        b.dpc(b.first());
        assert_eq!(to.bytes(0, 100), [3; 100]);
        let told = b.told();
        proves!(image: R12; assert_eq!((told.len(), told[0].cookie, told[0].user), (1, cookie, 5)));
        assert_eq!(b.statistics(channel, 0).map(|counters| counters.bytes), Ok(100));
    });
}

#[test]
fn a_list_that_asks_for_what_a_client_may_not_ask_is_refused_whole() {
    with_channel(V, |b, channel| {
        let flag = |flag: u32| u64::from(flag) << 32;
        let good = [8, 0x10_0000, 0x20_0000, 0];
        let breaks = flag(SOURCE_PAGE_BREAK);
        for bad in [
            [8 | flag(INTERRUPT_ON_COMPLETION), 0x1000, 0x2000, 0],
            [8 | flag(STATUS_UPDATE_ON_COMPLETION), 0x1000, 0x2000, 0],
            [8 | flag(OP_TYPE_CONTEXT_CHANGE), 0x1000, 0x2000, 0],
            [8 | flag(0x100), 0x1000, 0x2000, 0],
            [(1 << 20) + 1, 0x1000, 0x200_0000, 0],
            [8, (1 << 40) - 4, 0x2000, 0],
            [8, u64::MAX - 3, 0x2000, 0],
            [8 | breaks, 0x1FFC, 0x2000, 0x5001],
            [8 | breaks, 0x1FFC, 0x2000, 1 << 40],
        ] {
            assert_eq!(submit_list(b, channel, &[good, bad]).0, STATUS_INVALID_PARAMETER, "{bad:x?}");
        }
        assert_eq!(submit_list(b, channel, &[]).0, STATUS_INVALID_PARAMETER);
        let out = b.scratch + 0x88;
        let null = b.call("NetDmaSubmitDescriptorList", &[channel, 0, 1, 0, out]) as i32;
        assert_eq!(null, STATUS_INVALID_PARAMETER);
        assert!(b.calls().is_empty());
    });
}

#[test]
fn a_full_ring_refuses_and_takes_again_after_completion() {
    with_bench(V, |b| {
        let provider = b.provider();
        let client = b.client(1);
        let (status, channel) = b.allocate_with(client, 0, 0, 64, 0, 0);
        assert_eq!(status, SUCCESS);
        for _ in 0..62 {
            b.post(channel);
        }
        let refused = b.null(channel, 0);
        proves!(image: R258, R259; assert_eq!(refused, (STATUS_INSUFFICIENT_RESOURCES, 0)));
        b.run(b.first());
        b.dpc(b.first());
        assert_eq!(b.told().len(), 62);
        b.post(channel);
        b.run(b.first());
        b.dpc(b.first());
        assert_eq!(b.told().len(), 1);
        b.free(channel);
        b.deregister(provider);
        b.deregister_client(client);
    });
}

#[test]
fn a_ring_of_many_scattered_pages_goes_round() {
    with_bench(V, |b| {
        let provider = b.provider();
        let client = b.client(1);
        let (status, channel) = b.allocate_with(client, 0, 0, 1000, 0, 0);
        assert_eq!((status, b.answered().2), (SUCCESS, 1024));
        assert_eq!(b.set_limit(channel, 50), SUCCESS);
        let mut posted = 0;
        for _ in 0..60 {
            for _ in 0..50 {
                b.post(channel);
                posted += 1;
            }
            b.run(b.first());
            b.dpc(b.first());
        }
        let told = b.told();
        assert_eq!(told.len(), posted);
        proves!(image: R209; assert!(told.windows(2).all(|pair| pair[0].cookie < pair[1].cookie)));
        b.free(channel);
        b.deregister(provider);
        b.deregister_client(client);
    });
}

#[test]
fn a_failed_append_is_followed_by_a_start_once_the_engine_is_quiet() {
    with_channel(V, |b, channel| {
        b.post(channel);
        b.script(|script| drop(script.fail.insert("append", vec![STATUS_UNSUCCESSFUL])));
        let second = b.post(channel);
        b.run(b.first());
        b.dpc(b.first());
        proves!(image: R139; assert_eq!(b.entries(), ["start", "append", "start"]));
        b.run(b.first());
        b.dpc(b.first());
        let told = b.told();
        proves!(image: R276; assert_eq!((told.len(), told[1].cookie, told[1].status), (2, second, SUCCESS)));
    });
}

#[test]
fn each_post_is_an_event_and_so_is_one_that_the_provider_refuses() {
    with_channel(V, |b, channel| {
        b.post(channel);
        b.post(channel);
        b.script(|script| drop(script.fail.insert("append", vec![STATUS_UNSUCCESSFUL])));
        b.post(channel);
        let events = b.events();
        let posted = events.iter().filter(|event| event.name() == "BatchPosted");
        let posted: Vec<_> = posted.map(|event| (event.value("descriptors"), event.value("start"))).collect();
        assert_eq!(posted, [(Some(1), Some(1)), (Some(1), Some(0))]);
        let refused = b.event("PostFailed").expect("an append failed");
        assert_eq!(refused.value("status"), Some(u64::from(STATUS_UNSUCCESSFUL.cast_unsigned())));
        b.run(b.first());
        b.dpc(b.first());
        b.run(b.first());
        b.dpc(b.first());
    });
}

#[test]
fn a_provider_that_never_starts_fails_each_request_once() {
    with_channel(V, |b, channel| {
        b.script(|script| drop(script.fail.insert("start", vec![STATUS_UNSUCCESSFUL; 9])));
        let cookie = b.post(channel);
        assert_eq!(b.entries(), ["start", "start", "reset", "start"]);
        let told = b.told();
        proves!(image: R276; assert_eq!((told.len(), told[0].cookie, told[0].status), (1, cookie, STATUS_IO_DEVICE_ERROR)));
        assert!(b.is_complete(channel, cookie));
        assert_eq!(b.statistics(channel, 0).map(|counters| counters.provider_failures), Ok(3));
    });
}

#[test]
fn channel_calls_work_at_dispatch_level_and_are_refused_above() {
    with_channel(V, |b, channel| {
        let out = b.scratch + 0x88;
        assert_eq!(b.call_at(DISPATCH, "NetDmaNullTransfer", &[channel, 0, 0, out]) as i32, PENDING);
        assert_eq!(b.call_at(5, "NetDmaNullTransfer", &[channel, 0, 0, out]) as i32, STATUS_UNSUCCESSFUL);
        assert_eq!(b.event("CallRefused").and_then(|seen| seen.value("misuse")), Some(2));
        b.run(b.first());
        b.dpc(b.first());
        assert_eq!(b.told().len(), 1);
    });
}

#[test]
fn a_provider_that_calls_back_from_within_its_entry_points_is_refused() {
    for entry in ["start", "append"] {
        with_channel(V, |b, channel| {
            if entry == "append" {
                b.post(channel);
            }
            b.script(|script| script.reenter = Some((entry, "NetDmaInterruptDpc")));
            b.post(channel);
            assert_eq!(b.event("CallRefused").and_then(|seen| seen.value("misuse")), Some(4));
            b.run(b.first());
            b.dpc(b.first());
        });
    }
}
