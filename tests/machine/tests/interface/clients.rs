//! Clients: notices, enumeration, ownership, handles (spec 5.4).

use netdma_abi::Version;
use netdma_abi::status::*;
use proof::proves;

use crate::bench::*;

const V: Version = Version::V2_1;

#[test]
fn clients_learn_of_every_change_and_of_what_was_there_before() {
    with_bench(V, |b| {
        let client = b.client(7);
        assert!(b.notices().is_empty());
        let provider = b.register();
        proves!(image: R260; assert_eq!(b.notices(), [(7, 1, 1)]));
        b.start(provider);
        proves!(image: R260; assert_eq!(b.codes(), [2, 4, 4]));
        let late = b.client(8);
        assert_eq!(b.notices(), [(8, 1, 1), (8, 2, 1), (8, 4, 1), (8, 4, 1)]);
        b.power(provider, 5);
        b.power(provider, 6);
        proves!(image: R218, R260; assert_eq!(b.codes(), [5, 5, 6, 6]));
        b.stop(provider);
        proves!(image: R260; assert_eq!(b.codes(), [3, 3]));
        b.deregister(provider);
        b.deregister_client(client);
        b.deregister_client(late);
    });
}

#[test]
fn removal_is_told_before_channels_are_freed() {
    with_bench(V, |b| {
        let provider = b.provider();
        let client = b.client(7);
        let channel = b.allocate(client);
        b.notices();
        b.script(|script| script.free_on_removal = Some(channel));
        b.calls();
        b.stop(provider);
        proves!(image: R262; assert_eq!(b.entries(), ["free"]));
        assert_eq!(b.free(channel), STATUS_INVALID_HANDLE, "the client gave it back from within the notice");
        b.deregister(provider);
        b.deregister_client(client);
    });
}

#[test]
fn providers_are_listed_with_what_they_can_do() {
    with_bench(V, |b| {
        let provider = b.provider();
        let client = b.client(1);
        let channel = b.allocate(client);
        let (at, needed, count) = (b.scratch + 0x200, b.scratch + 0x90, b.scratch + 0x98);
        let list =
            |bytes: u64| b.call("NetDmaEnumerateDmaProviders", &[client, at, bytes, needed, count]) as i32;
        assert_eq!(list(0), STATUS_BUFFER_TOO_SMALL);
        assert_eq!((b.k.read::<u32>(needed), b.k.read::<u32>(count)), (0xB0, 1));
        b.k.write_bytes(at, &[0xAA; 0xC0]);
        assert_eq!(list(0xAF), STATUS_BUFFER_TOO_SMALL);
        assert_eq!(b.k.bytes(at, 0xC0), [0xAA; 0xC0], "a short array stays untouched");
        assert_eq!(list(0xB0), SUCCESS);
        let word = |offset| b.k.read::<u32>(at + offset);
        assert_eq!((word(0), word(4), word(8)), (1, 0x0002_0001, 1));
        assert_eq!((word(0x10), word(0x14), word(0x18), word(0x1C)), (2, 1, 1 << 20, 0x8086));
        assert_eq!(b.k.read::<u64>(at + 0x20), (1 << 40) - 1);
        assert_eq!((word(0x28), word(0x2C)), (0x0003_0002, 12));
        // The name's buffer and the table were overwritten when the registration had returned.
        proves!(image: R39; assert_eq!(b.k.wide(at + 0x30, 6), "engine"));
        assert_eq!(b.k.bytes(at + 0xB0, 16), [0xAA; 16]);
        let refused = b.call("NetDmaEnumerateDmaProviders", &[0, at, 0xB0, needed, count]) as i32;
        assert_eq!(refused, STATUS_INVALID_HANDLE);
        b.free(channel);
        b.deregister(provider);
        b.deregister_client(client);
    });
}

#[test]
fn a_channel_belongs_to_one_client_and_leaves_with_it() {
    with_bench(V, |b| {
        let provider = b.provider();
        let (first, second) = (b.client(1), b.client(2));
        let channels = [b.allocate(first), b.allocate(second)];
        proves!(image: R8, R9; assert_ne!(channels[0], channels[1]));
        assert_eq!(b.allocate_with(second, 0, 0, 0, 0, 0).0, STATUS_INSUFFICIENT_RESOURCES);
        let cookies = channels.map(|channel| b.post(channel));
        b.run(b.first());
        b.run(b.first() + 1);
        b.calls();
        assert_eq!(b.deregister_client(first), SUCCESS);
        proves!(image: R263; assert_eq!(b.entries(), ["free"]));
        assert_eq!(b.told().iter().map(|told| told.cookie).collect::<Vec<_>>(), cookies[..1]);
        assert_eq!(b.null(channels[0], 0).0, STATUS_INVALID_HANDLE);
        assert_eq!(b.deregister_client(first), STATUS_INVALID_HANDLE);
        let again = b.allocate(second);
        proves!(image: R107; assert_eq!(b.entries(), ["allocate"]));
        b.free(again);
        b.free(channels[1]);
        b.deregister(provider);
        b.deregister_client(second);
    });
}

#[test]
fn a_client_that_deregisters_from_within_its_own_notice_is_refused() {
    with_bench(V, |b| {
        let client = b.client(1);
        b.script(|script| script.deregister_in_notice = Some(client));
        let provider = b.register();
        let refused = b.script_answer();
        assert_eq!(refused, Some(STATUS_INVALID_DEVICE_STATE));
        assert_eq!(b.event("CallRefused").and_then(|seen| seen.value("misuse")), Some(7));
        b.deregister(provider);
        assert_eq!(b.deregister_client(client), SUCCESS);
    });
}

#[test]
fn a_client_is_refused_with_a_wrong_structure() {
    with_bench(V, |b| {
        let out = b.scratch + 0x80;
        for (major, size, flags) in [(2u8, 0x28_u16, 0_u32), (1, 0x27, 0), (1, 0x28, 1)] {
            b.k.write_bytes(b.scratch, &[0; 0x28]);
            b.k.write(b.scratch, [major, 0]);
            b.k.write(b.scratch + 2, size);
            b.k.write(b.scratch + 4, flags);
            let status = b.call("NetDmaRegisterClient", &[0, b.scratch, out]) as i32;
            assert_eq!((status, b.k.read::<u64>(out)), (STATUS_INVALID_PARAMETER, 0));
        }
        assert_eq!(b.call("NetDmaRegisterClient", &[0, 0, out]) as i32, STATUS_INVALID_PARAMETER);
        assert_eq!(b.call("NetDmaRegisterClient", &[0, b.scratch, 0]) as i32, STATUS_INVALID_PARAMETER);
    });
}

#[test]
fn a_client_picks_the_provider_or_gets_one_with_free_channels() {
    with_bench(V, |b| {
        let first = b.provider();
        let pdo = b.device(false);
        let (status, second) = b.register_with(&Table { pdo, ..b.table() });
        assert_eq!(status, SUCCESS);
        b.start_with(second, 1, 4096, (1 << 40) - 1);
        let client = b.client(1);
        let picked = b.allocate_with(client, 2, 0, 0, 0, 0);
        assert_eq!((picked.0, b.answered().1), (SUCCESS, 2));
        assert_eq!(b.allocate_with(client, 2, 0, 0, 0, 0).0, STATUS_INSUFFICIENT_RESOURCES);
        let any = b.allocate_with(client, 0, 0, 0, 0, 0);
        assert_eq!((any.0, b.answered().1), (SUCCESS, 1));
        b.deregister_client(client);
        b.deregister(first);
        b.deregister(second);
        b.k.call_export("IoDeleteDevice", &[pdo]);
    });
}
