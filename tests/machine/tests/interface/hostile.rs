//! Arguments other than handles that are wrong: lengths and offsets that overflow, chains without an end, lists that ask for too
//! much, pointers that are none. And what user mode can name: nothing that is an address.

use netdma_abi::Version;
use netdma_abi::descriptor::*;
use netdma_abi::status::*;
use proof::proves;

use crate::bench::*;

const V: Version = Version::V2_1;

/// A provider whose engine reaches everything, so that sums of addresses overflow before they are too large.
fn with_reach(work: impl FnOnce(&Bench<'_>, u64)) {
    with_bench(V, |b| {
        let provider = b.register();
        b.start_with(provider, 1, 1 << 20, u64::MAX);
        let client = b.client(1);
        let channel = b.allocate(client);
        b.calls();
        work(b, channel);
        assert!(b.calls().is_empty(), "nothing of it reached the provider");
        b.free(channel);
        b.deregister(provider);
        b.deregister_client(client);
    });
}

#[test]
fn sums_of_lengths_and_offsets_that_overflow_are_refused() {
    with_reach(|b, channel| {
        let (to, from) = (b.buffer(4096, 16, 1000), b.buffer(4096, 16, 1000));
        let out = b.scratch + 0x88;
        let largest = u64::from(u32::MAX);
        for (to_offset, from_offset, length) in [
            (largest, 0, 1),
            (0, largest, 1),
            (1, 1, largest),
            (largest, largest, largest),
            (1000, 1000, 1),
            (0, 0, 1001),
            (999, 0, 2),
            (0, 0, 0),
        ] {
            let arguments = [channel, to.mdl, to_offset, from.mdl, from_offset, length, out];
            let status = b.call("NetDmaChainCopyVirtualToVirtual", &arguments) as i32;
            assert_eq!(status, STATUS_INVALID_PARAMETER, "{to_offset} {from_offset} {length}");
        }
        for (source, length) in [(u64::MAX, 2), (u64::MAX - 6, 8), (u64::MAX - 998, 1000), (0x1000, largest)]
        {
            let arguments = [channel, to.mdl, 0, source, length, 0, 0, out];
            let status = b.call("NetDmaChainCopyPhysicalToVirtual", &arguments) as i32;
            proves!(image: R70; assert_eq!(status, STATUS_INVALID_PARAMETER, "{source:#x} {length}"));
        }
    });
}

#[test]
fn a_chain_that_is_linked_to_itself_ends() {
    with_reach(|b, channel| {
        let (to, from) = (b.buffer(4096, 0, 4), b.buffer(4096, 0, 4096));
        let out = b.scratch + 0x88;
        b.k.write(to.mdl, to.mdl);
        let arguments = [channel, to.mdl, 0, from.mdl, 0, u64::from(u32::MAX), out];
        let status = b.call("NetDmaChainCopyVirtualToVirtual", &arguments) as i32;
        assert_eq!(status, STATUS_INVALID_PARAMETER);
        let far = [channel, to.mdl, 5 * 4096, from.mdl, 0, 8, out];
        assert_eq!(b.call("NetDmaChainCopyVirtualToVirtual", &far) as i32, STATUS_INVALID_PARAMETER);
        b.k.write(to.mdl, 0u64);
    });
}

#[test]
fn lists_that_reach_around_the_end_of_memory_or_ask_for_more_than_the_ring_are_refused() {
    with_reach(|b, channel| {
        let (list, out) = (b.scratch + 0x200, b.scratch + 0x88);
        let submit = |words: [u64; 8], count: u64| {
            b.k.write(list, words);
            b.call("NetDmaSubmitDescriptorList", &[channel, list, count, 0, out]) as i32
        };
        let flag = |flag: u32| u64::from(flag) << 32;
        let breaks = flag(SOURCE_PAGE_BREAK | DESTINATION_PAGE_BREAK);
        for words in [
            [8, u64::MAX - 3, 0x1000, 0, 0, 0, 0, 0],
            [8, 0x1000, u64::MAX - 3, 0, 0, 0, 0, 0],
            [0x2000 | breaks, 0x1FFF, 0x2FFF, 0, !0xFFF, 0x5000, 0, 0],
            [0x2000 | breaks, 0x1FFF, 0x2FFF, 0, 0x5000, !0xFFF, 0, 0],
            [0x2000 | breaks, 0x1FFF, 0x2FFF, 0, 0x5001, 0x6000, 0, 0],
            [u64::from(u32::MAX), 0x1000, 0x2000, 0, 0, 0, 0, 0],
            [8 | flag(OP_TYPE_CONTEXT_CHANGE), 0x1000, 0x2000, 0, 0, 0, 0, 0],
            [8 | flag(0xFF00_0001), 0x1000, 0x2000, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(submit(words, 1), STATUS_INVALID_PARAMETER, "{words:x?}");
        }
        let good = [8, 0x1000, 0x2000, 0, 0, 0, 0, 0];
        for count in [0, 257, 1 << 20, u64::from(u32::MAX)] {
            assert_eq!(submit(good, count), STATUS_INVALID_PARAMETER, "{count}");
        }
    });
}

#[test]
fn pointers_that_are_null_or_odd_are_refused_before_anything_is_done() {
    with_reach(|b, channel| {
        let buffer = b.buffer(4096, 0, 64);
        let (mdl, out, odd) = (buffer.mdl, b.scratch + 0x88, b.scratch + 1);
        let client = b.client(2);
        for (export, arguments) in [
            ("NetDmaChainCopyVirtualToVirtual", vec![channel, 0, 0, mdl, 0, 8, out]),
            ("NetDmaChainCopyVirtualToVirtual", vec![channel, mdl, 0, 0, 0, 8, out]),
            ("NetDmaChainCopyVirtualToVirtual", vec![channel, mdl, 0, mdl, 8, 8, 0]),
            ("NetDmaChainCopyVirtualToVirtual", vec![channel, mdl, 0, mdl, 8, 8, odd]),
            ("NetDmaChainCopyPhysicalToVirtual", vec![channel, 0, 0, 0x1000, 8, 0, 0, out]),
            ("NetDmaChainCopyPhysicalToVirtual", vec![channel, mdl, 0, 0x1000, 8, 0, 0, 0]),
            ("NetDmaNullTransfer", vec![channel, 0, 0, 0]),
            ("NetDmaNullTransfer", vec![channel, 0, 0, odd]),
            ("NetDmaSubmitDescriptorList", vec![channel, 0, 1, 0, out]),
            ("NetDmaSubmitDescriptorList", vec![channel, odd, 1, 0, out]),
            ("NetDmaQueryStatistics", vec![channel, 0, out, 0]),
            ("NetDmaAllocateChannel", vec![client, 0, 0, out]),
            ("NetDmaAllocateChannel", vec![client, 0, odd, out]),
            ("NetDmaAllocateChannel", vec![client, 0, b.scratch, 0]),
            ("NetDmaEnumerateDmaProviders", vec![client, 0, 0, 0, 0]),
            ("NetDmaRegisterClient", vec![0, 0, out]),
            ("NetDmaRegisterClient", vec![0, b.scratch, 0]),
        ] {
            let status = b.call(export, &arguments) as i32;
            assert_eq!(status, STATUS_INVALID_PARAMETER, "{export} {arguments:x?}");
        }
        drop(buffer);
        b.deregister_client(client);
    });
}

/// What each number is that a program can send to our drivers. None is an address of memory.
const SENT: &[(&str, &[&str])] = &[
    ("OpenChannel", &["provider", "flags", "group", "ring_size", "mask", "pending_limit", "reserved"]),
    ("ChannelNumber", &["number"]),
    ("Copy", &["channel", "flags", "pieces", "reserved"]),
    // Offsets into the caller's own buffer, which the I/O manager has locked.
    ("Piece", &["source", "destination", "length", "flags"]),
    ("Control", &["channel", "operation"]),
    ("StatisticsOf", &["provider", "channel"]),
];

/// Structures that drivers only answer with.
const ANSWERED: &[&str] = &["Provider", "Channel", "Statistics"];

#[test]
fn no_structure_that_a_program_sends_has_a_field_for_an_address() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../interface/ioctl/src/lib.rs");
    let source = std::fs::read_to_string(path).expect("the source of netdma-ioctl");
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for block in source.split("\nwire! {\n").skip(1) {
        let block = block.split("\n}\n").next().expect("a block ends");
        let code = block.lines().map(str::trim).filter(|line| !line.starts_with("//"));
        let mut fields = Vec::new();
        let mut name = String::new();
        for line in code {
            match (line.strip_suffix(" {"), line.split_once(':')) {
                (Some(structure), _) => name = structure.to_owned(),
                (None, Some((field, _))) => fields.push(field.to_owned()),
                _ => {}
            }
        }
        found.push((name, fields));
    }
    assert!(found.len() >= SENT.len() + ANSWERED.len(), "{found:?}");
    for (name, fields) in &found {
        if ANSWERED.contains(&name.as_str()) {
            continue;
        }
        let known = SENT.iter().find(|(sent, _)| sent == name);
        let known = known.unwrap_or_else(|| panic!("{name} is new: say what its fields are"));
        assert_eq!(fields, known.1, "{name}");
    }
}
