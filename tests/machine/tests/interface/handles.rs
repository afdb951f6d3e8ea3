//! Handles that are none, in every export: dead, foreign, forged, twice freed. The table has a row for each function that the
//! image exports; one without a row fails.

use netdma_abi::Version;
use netdma_abi::status::*;
use proof::proves;

use crate::bench::*;

const V: Version = Version::V2_1;

/// Whose handle an export takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Provider,
    ProviderChannel,
    Client,
    ClientChannel,
    /// None: it has nothing to be fooled by.
    Nothing,
}

/// How an export answers what is no handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// With STATUS_INVALID_HANDLE.
    Invalid,
    /// With zero: FALSE, or a limit of none.
    Zero,
    /// Not at all, since it returns nothing.
    Silence,
}

/// An export, its handle, its answer, and the arguments behind the handle, by which everything but the handle is right.
struct Row {
    export: &'static str,
    takes: Takes,
    answer: Answer,
    rest: fn(&Arguments) -> Vec<u64>,
}

/// Good values for other arguments.
struct Arguments {
    mdl: u64,
    out: u64,
    block: u64,
}

const fn row(export: &'static str, takes: Takes, answer: Answer, rest: fn(&Arguments) -> Vec<u64>) -> Row {
    Row { export, takes, answer, rest }
}

/// Each function that the image exports, but for `DriverEntry`, which Windows calls by address.
const ROWS: &[Row] = &[
    row("NetDmaRegisterProvider", Takes::Nothing, Answer::Silence, |_| Vec::new()),
    row("NetDmaDeregisterProvider", Takes::Provider, Answer::Silence, |_| Vec::new()),
    row("NetDmaProviderStart", Takes::Provider, Answer::Silence, |a| vec![a.block]),
    row("NetDmaProviderStop", Takes::Provider, Answer::Silence, |_| Vec::new()),
    row("NetDmaIsr", Takes::ProviderChannel, Answer::Silence, |a| vec![0, a.out]),
    row("NetDmaInterruptDpc", Takes::ProviderChannel, Answer::Silence, |_| vec![0]),
    row("NetDmaGetVersion", Takes::Nothing, Answer::Silence, |_| Vec::new()),
    row("NetDmaPnPEventNotify", Takes::Provider, Answer::Silence, |a| vec![a.block + 0x40]),
    row("NetDmaRegisterClient", Takes::Nothing, Answer::Silence, |_| Vec::new()),
    row("NetDmaDeregisterClient", Takes::Client, Answer::Invalid, |_| Vec::new()),
    row("NetDmaEnumerateDmaProviders", Takes::Client, Answer::Invalid, |a| vec![0, 0, a.out, a.out + 4]),
    row("NetDmaAllocateChannel", Takes::Client, Answer::Invalid, |a| vec![0, a.block + 0x80, a.out]),
    row("NetDmaFreeChannel", Takes::ClientChannel, Answer::Invalid, |_| Vec::new()),
    row("NetDmaChainCopyVirtualToVirtual", Takes::ClientChannel, Answer::Invalid, |a| {
        vec![a.mdl, 0, a.mdl, 8, 8, a.out]
    }),
    row("NetDmaChainCopyPhysicalToVirtual", Takes::ClientChannel, Answer::Invalid, |a| {
        vec![a.mdl, 0, 0x1000, 8, 0, 0, a.out]
    }),
    row("NetDmaNullTransfer", Takes::ClientChannel, Answer::Invalid, |a| vec![0, 0, a.out]),
    row("NetDmaIsDmaCopyComplete", Takes::ClientChannel, Answer::Zero, |_| vec![1]),
    row("NetDmaFlushPendingDescriptors", Takes::ClientChannel, Answer::Invalid, |_| Vec::new()),
    row("NetDmaGetMaxPendingDescriptors", Takes::ClientChannel, Answer::Zero, |_| Vec::new()),
    row("NetDmaSetMaxPendingDescriptors", Takes::ClientChannel, Answer::Invalid, |_| vec![4]),
    row("NetDmaPrefetchNextDescriptor", Takes::ClientChannel, Answer::Silence, |_| Vec::new()),
    row("NetDmaSubmitDescriptorList", Takes::ClientChannel, Answer::Invalid, |a| {
        vec![a.block + 0x100, 1, 0, a.out]
    }),
    row("NetDmaSuspendChannel", Takes::ClientChannel, Answer::Invalid, |_| Vec::new()),
    row("NetDmaResumeChannel", Takes::ClientChannel, Answer::Invalid, |_| Vec::new()),
    row("NetDmaAbortChannel", Takes::ClientChannel, Answer::Invalid, |_| Vec::new()),
    row("NetDmaResetChannel", Takes::ClientChannel, Answer::Invalid, |_| Vec::new()),
    row("NetDmaQueryStatistics", Takes::ClientChannel, Answer::Invalid, |a| {
        vec![0, a.block + 0x200, a.block + 0x300]
    }),
    row("DllInitialize", Takes::Nothing, Answer::Silence, |_| Vec::new()),
    row("DllUnload", Takes::Nothing, Answer::Silence, |_| Vec::new()),
];

/// The functions that providers call, by the names and number of the spec (2.11).
const PROVIDER_EXPORTS: [&str; 8] = [
    "NetDmaRegisterProvider",
    "NetDmaDeregisterProvider",
    "NetDmaProviderStart",
    "NetDmaProviderStop",
    "NetDmaIsr",
    "NetDmaInterruptDpc",
    "NetDmaGetVersion",
    "NetDmaPnPEventNotify",
];

#[test]
fn every_export_has_a_row() {
    with_bench(V, |b| {
        let mut exported = b.exports();
        for name in PROVIDER_EXPORTS {
            proves!(image: R254; assert!(exported.contains(&name.to_owned()), "{name}"));
        }
        exported.retain(|name| name != "DriverEntry");
        let mut rows: Vec<String> = ROWS.iter().map(|row| row.export.to_owned()).collect();
        rows.sort();
        assert_eq!(rows, exported, "a row for each export and no other");
    });
}

/// Fills the block that rows point into: attributes, a power-down notice, channel parameters, a NULL descriptor, a length.
fn fill(b: &Bench<'_>, block: u64) {
    let k = b.k;
    k.write_bytes(block, &[0; 0x400]);
    k.write(block + 2, 0x20_u16);
    k.write(block + 0xC, 2_u32);
    k.write(block + 0x10, 1_u32 << 20);
    k.write(block + 0x18, u64::MAX);
    k.write(block + 0x40, [1_u32, 0x20, 5]);
    k.write(block + 0x80, [1_u16, 0x30]);
    k.write(block + 0x104, netdma_abi::descriptor::NULL_TRANSFER);
    k.write(block + 0x300, size_of::<netdma_abi::client::Statistics>() as u32);
}

#[test]
fn what_is_no_handle_does_nothing_in_any_export() {
    with_bench(V, |b| {
        let k = b.k;
        let (provider, client) = (b.provider(), b.client(1));
        let channel = b.allocate(client);
        let channel_of_provider = b.channel(b.first()).asked.handle;
        // One of each kind that is dead, freed twice where it can be.
        let pdo = b.device(false);
        let (_, dead_provider) = b.register_with(&Table { pdo, ..b.table() });
        b.deregister(dead_provider);
        b.deregister(dead_provider);
        let dead_client = b.client(2);
        assert_eq!(b.deregister_client(dead_client), SUCCESS);
        let dead_channel = b.allocate(client);
        let dead_channel_of_provider = b.channel(b.first() + 1).asked.handle;
        assert_eq!(b.free(dead_channel), SUCCESS);
        let live = [
            (Takes::Provider, provider),
            (Takes::Client, client),
            (Takes::ClientChannel, channel),
            (Takes::ProviderChannel, channel_of_provider),
        ];
        let buffer = b.buffer(4096, 0, 64);
        let block = k.system_allocate(4096, "arguments of rows");
        let arguments = Arguments { mdl: buffer.mdl, out: b.scratch + 0x88, block };
        b.calls();
        b.notices();
        for row in ROWS.iter().filter(|row| row.takes != Takes::Nothing) {
            let foreign = live.iter().filter(|(kind, _)| *kind != row.takes).map(|(_, handle)| *handle);
            let own = live.iter().find(|(kind, _)| *kind == row.takes).expect("a live one of each kind").1;
            // Of the right kind with another generation or index, and numbers that no table has given.
            let forged =
                [own ^ 1 << 16, own ^ 2 << 16, own + 1, own ^ 1 << 40, 1, 7, b.scratch, u64::MAX, 1 << 63];
            let dead = [dead_provider, dead_client, dead_channel, dead_channel_of_provider];
            // Zero is a question to NetDmaQueryStatistics: that of a provider.
            let zero = (row.export != "NetDmaQueryStatistics").then_some(0);
            for handle in foreign.chain(forged).chain(dead).chain(zero) {
                fill(b, block);
                let all = [vec![handle], (row.rest)(&arguments)].concat();
                let level = match row.takes {
                    Takes::ProviderChannel => DISPATCH,
                    _ => PASSIVE,
                };
                let answer = b.call_at(level, row.export, &all);
                match row.answer {
                    Answer::Invalid => {
                        assert_eq!(answer as i32, STATUS_INVALID_HANDLE, "{} {handle:#x}", row.export);
                    }
                    Answer::Zero => assert_eq!(answer as u8, 0, "{} {handle:#x}", row.export),
                    Answer::Silence => {}
                }
            }
            assert!(b.calls().is_empty() && b.told().is_empty() && b.notices().is_empty(), "{}", row.export);
        }
        // Everybody is as before.
        let cookie = b.post(channel);
        b.run(b.first());
        b.dpc(b.first());
        assert_eq!(b.told().iter().map(|told| told.cookie).collect::<Vec<_>>(), [cookie]);
        drop(buffer);
        assert_eq!(b.free(channel), SUCCESS);
        proves!(image: R107; assert_eq!(b.free(channel), STATUS_INVALID_HANDLE));
        b.deregister(provider);
        assert_eq!(b.deregister_client(client), SUCCESS);
        assert_eq!(b.deregister_client(client), STATUS_INVALID_HANDLE);
        k.call_export("IoDeleteDevice", &[pdo]);
    });
}

#[test]
fn each_export_of_passive_level_is_refused_above_it_and_each_channel_call_above_dispatch_level() {
    with_bench(V, |b| {
        let (provider, client) = (b.provider(), b.client(1));
        let channel = b.allocate(client);
        let buffer = b.buffer(4096, 0, 64);
        let block = b.k.system_allocate(4096, "arguments of rows");
        let arguments = Arguments { mdl: buffer.mdl, out: b.scratch + 0x88, block };
        b.calls();
        let passive = ["NetDmaFreeChannel", "NetDmaDeregisterClient"];
        for row in ROWS.iter().filter(|row| row.answer == Answer::Invalid) {
            let handle = if row.takes == Takes::Client { client } else { channel };
            let above =
                if row.takes == Takes::Client || passive.contains(&row.export) { DISPATCH } else { 5 };
            fill(b, block);
            let all = [vec![handle], (row.rest)(&arguments)].concat();
            let answer = b.call_at(above, row.export, &all) as i32;
            assert_eq!(answer, STATUS_UNSUCCESSFUL, "{}", row.export);
            assert_eq!(
                b.event("CallRefused").and_then(|seen| seen.value("misuse")),
                Some(2),
                "{}",
                row.export
            );
        }
        assert!(b.calls().is_empty());
        drop(buffer);
        b.free(channel);
        b.deregister(provider);
        b.deregister_client(client);
    });
}
