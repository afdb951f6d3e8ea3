//! Layouts and values as the image has them, against numbers of the header: nothing here comes from netdma-abi (spec 2.2 to 2.9).

use netdma_abi::Version;
use netdma_abi::status::*;
use proof::proves;

use crate::bench::*;
use crate::channels::with_channel;

const V: Version = Version::V2_1;

#[test]
fn characteristics_are_0x70_bytes_and_each_entry_point_is_where_the_header_has_it() {
    with_bench(V, |b| {
        // `register_with` writes every field by its offset; what is called tells where the image has read it.
        assert_eq!(b.register_with(&Table { size: 0x6F, ..b.table() }).0, STATUS_UNSUCCESSFUL);
        let (status, provider) = b.register_with(&Table { size: 0x70, ..b.table() });
        proves!(image: R249; assert_eq!(status, SUCCESS));
        b.start(provider);
        let client = b.client(1);
        let channel = b.allocate(client);
        b.post(channel);
        b.post(channel);
        for export in
            ["NetDmaSuspendChannel", "NetDmaResumeChannel", "NetDmaAbortChannel", "NetDmaResetChannel"]
        {
            assert_eq!(b.call(export, &[channel]) as i32, SUCCESS);
        }
        b.free(channel);
        proves!(image: R250; assert_eq!(
            b.entries(),
            ["set_affinity", "allocate", "start", "append", "suspend", "resume", "abort", "reset", "free"]
        ));
        b.deregister(provider);
        b.deregister_client(client);
    });
}

#[test]
fn affinities_are_pairs_of_8_bytes_and_parameters_have_0x38() {
    with_bench(V, |b| {
        let provider = b.provider();
        let calls = b.calls();
        proves!(image: R249; assert_eq!((calls[0].count, b.affinities().len()), (2 * 8, 2)));
        proves!(image: R250; assert_eq!(b.affinities(), [(0, 0), (1, 1)]));
        let client = b.client(1);
        let (status, channel) = b.allocate_with(client, 0, 0, 0, 0, 3);
        assert_eq!(status, SUCCESS);
        // Read by the entry point at the header's offsets.
        let asked = b.channel(b.first()).asked;
        proves!(image: R249; assert_eq!(asked.size, 0x38));
        proves!(image: R250; assert_eq!(
            (asked.flags, asked.mask, asked.priority, asked.mask_ex, b.k.physical(asked.word_virtual)),
            (0, 3, 0, (3, 0), Some(asked.word_physical))
        ));
        proves!(image: R251; assert_eq!(asked.revision, 2));
        b.free(channel);
        b.deregister(provider);
        b.deregister_client(client);
    });
}

#[test]
fn attributes_and_notices_have_0x20_bytes() {
    with_bench(V, |b| {
        let (k, at) = (b.k, b.scratch);
        let provider = b.register();
        let client = b.client(1);
        let start = |size: u16| {
            k.write_bytes(at, &[0; 0x40]);
            k.write(at + 2, size);
            k.write(at + 0xC, 1_u32);
            k.write(at + 0x10, 4096_u32);
            k.write(at + 0x18, u64::MAX);
            b.call("NetDmaProviderStart", &[provider, at]);
        };
        b.notices();
        start(0x1F);
        proves!(image: R249; assert!(b.codes().is_empty()));
        start(0x20);
        proves!(image: R249, R250; assert_eq!(b.codes(), [2, 4]));
        let notify = |revision: u32, size: u32, code: u32| {
            k.write_bytes(at, &[0; 0x40]);
            k.write(at, revision);
            k.write(at + 4, size);
            k.write(at + 8, code);
            b.call("NetDmaPnPEventNotify", &[provider, at]);
            b.codes()
        };
        proves!(image: R249; assert!(notify(1, 0x1F, 5).is_empty()));
        proves!(image: R249, R250, R251; assert_eq!((notify(1, 0x20, 5), notify(1, 0x20, 6)), (vec![5], vec![6])));
        b.stop(provider);
        proves!(image: R251; assert_eq!(b.codes(), [3]));
        b.deregister(provider);
        b.deregister_client(client);
    });
}

#[test]
fn a_descriptor_has_64_bytes_with_its_fields_in_the_headers_places() {
    with_channel(V, |b, channel| {
        let (to, from) = (b.buffer(4096, 0x100, 8), b.buffer(4096, 0x200, 8));
        let out = b.scratch + 0x88;
        for _ in 0..2 {
            let arguments = [channel, to.mdl, 0, from.mdl, 0, 8, out];
            assert_eq!(b.call("NetDmaChainCopyVirtualToVirtual", &arguments) as i32, PENDING);
        }
        let calls = b.calls();
        let (first, second) = (calls[0].address, calls[1].address);
        proves!(image: R249; assert_eq!(second - first, 0x40));
        let word = |offset: u64| {
            let at = calls_at(b, first) + offset;
            b.k.read::<u64>(at)
        };
        // TransferSize 8; ControlFlags: status update 8 and interrupt 1.
        proves!(image: R250, R251; assert_eq!(word(0), 9 << 32 | 8));
        proves!(image: R250; assert_eq!((word(8), word(0x10), word(0x18)), (from.physical(0), to.physical(0), second)));
        // Armed is 4.
        proves!(image: R251; assert_eq!(calls[0].word, 4));
        // Idle is 1, below the address.
        b.write_word(b.first(), second | 1);
        let handle = b.channel(b.first()).asked.handle;
        b.call_at(DISPATCH, "NetDmaInterruptDpc", &[handle, second]);
        proves!(image: R250, R251; assert_eq!(b.told().len(), 2));
    });
}

/// The virtual address of a descriptor that the provider was given first.
fn calls_at(b: &Bench<'_>, physical: u64) -> u64 {
    let known = b.firsts();
    known.iter().find(|(_, at)| *at == physical).expect("given to an entry point").0
}

#[test]
fn halted_and_suspended_words_are_3_and_2() {
    with_channel(V, |b, channel| {
        b.post(channel);
        let at = b.calls()[0].address;
        let handle = b.channel(b.first()).asked.handle;
        b.write_word(b.first(), at | 2);
        b.call_at(DISPATCH, "NetDmaInterruptDpc", &[handle, 0]);
        proves!(image: R251; assert_eq!(b.told().iter().map(|told| told.status).collect::<Vec<_>>(), [SUCCESS]));
        b.post(channel);
        b.write_word(b.first(), 3);
        b.call_at(DISPATCH, "NetDmaInterruptDpc", &[handle, 0]);
        let statuses: Vec<i32> = b.told().iter().map(|told| told.status).collect();
        proves!(image: R251; assert_eq!(statuses, [STATUS_IO_DEVICE_ERROR]));
    });
}
