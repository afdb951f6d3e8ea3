//! Registration, start, stop, deregistration (spec 3.2, 3.5, 3.6, 3.7).

use netdma_abi::Version;
use netdma_abi::status::*;
use proof::proves;

use crate::bench::*;

const V: Version = Version::V2_1;

#[test]
fn the_interface_says_its_version() {
    with_bench(V, |b| {
        proves!(image: R11, R14, R15; assert_eq!(b.call("NetDmaGetVersion", &[]) as u32, 0x0002_0001));
    });
}

#[test]
fn a_provider_registers_starts_stops_and_leaves_nothing() {
    with_bench(V, |b| {
        let provider = b.register();
        let calls = b.calls();
        proves!(image: R42, R43, R47; assert_eq!((calls[0].entry, calls[0].irql), ("set_affinity", PASSIVE)));
        proves!(image: R33; assert_eq!(calls[0].context, PROVIDER_CONTEXT));
        proves!(image: R46; assert_eq!(calls[0].count, 16));
        proves!(image: R44, R45; assert_eq!(b.affinities(), [(0, 0), (1, 1)]));
        proves!(image: R35; assert_eq!(calls.len(), 1));
        for _ in 0..3 {
            b.start(provider);
            b.stop(provider);
        }
        b.deregister(provider);
        assert!(b.calls().is_empty());
        let names: Vec<_> = b.events().iter().map(|seen| seen.name()).collect();
        assert!(
            names.ends_with(&["ProviderStarted", "ProviderStopped", "ProviderDeregistered"]),
            "{names:?}"
        );
    });
}

#[test]
fn every_version_registers_and_higher_ones_are_refused() {
    for version in [Version::V1_0, Version::V1_1, Version::V2_0, Version::V2_1] {
        with_bench(version, |b| {
            let provider = b.register();
            proves!(image: R19, R32, R34; assert_ne!(provider, 0));
            b.deregister(provider);
        });
    }
    with_bench(V, |b| {
        for version in [Version::new(2, 2), Version::new(3, 0), Version::new(0, 0)] {
            let refused = b.register_with(&Table { version, ..b.table() });
            proves!(image: R20, R38; assert_eq!(refused, (STATUS_UNSUCCESSFUL, 0)));
        }
        assert_eq!(b.event("RegistrationRefused").and_then(|seen| seen.value("reason")), Some(2));
    });
}

#[test]
fn a_defective_table_is_refused_and_leaves_no_object() {
    with_bench(V, |b| {
        let table = b.table();
        let defects = [
            Table { pdo: 0, ..table.clone() },
            Table { size: 0x6F, ..table.clone() },
            Table { flags: 0x8, ..table.clone() },
            Table { channels: 0, ..table.clone() },
            Table { absent: vec!["allocate"], ..table.clone() },
            Table { absent: vec!["free"], ..table.clone() },
            Table { absent: vec!["start"], ..table.clone() },
            Table { absent: vec!["append"], ..table.clone() },
            Table { absent: vec!["resume"], ..table.clone() },
            Table { name: "", ..table.clone() },
        ];
        for defect in defects {
            let refused = b.register_with(&defect);
            proves!(image: R37, R38, R284; assert_eq!(refused, (STATUS_UNSUCCESSFUL, 0), "{defect:?}"));
        }
        let old = Table { version: Version::V1_1, flags: 1, ..table.clone() };
        proves!(image: R284; assert_eq!(b.register_with(&old).0, STATUS_UNSUCCESSFUL));
        proves!(image: R284; assert_eq!(b.call("NetDmaRegisterProvider", &[0, 0, b.scratch]) as i32, STATUS_UNSUCCESSFUL));
        proves!(image: R284; assert_eq!(b.call("NetDmaRegisterProvider", &[0, b.scratch, 0]) as i32, STATUS_UNSUCCESSFUL));
        proves!(image: R37; assert!(b.calls().is_empty()));
        proves!(image: R37; assert_eq!(b.call("DllUnload", &[]) as i32, SUCCESS));
    });
}

#[test]
fn a_short_1_0_table_is_accepted() {
    with_bench(Version::V1_0, |b| {
        let (status, provider) = b.register_with(&Table { size: 0x60, ..b.table() });
        proves!(image: R41; assert_eq!(status, SUCCESS));
        b.deregister(provider);
    });
}

#[test]
fn an_absent_or_failing_affinity_entry_does_not_fail_registration() {
    with_bench(V, |b| {
        let (status, provider) = b.register_with(&Table { absent: vec!["set_affinity"], ..b.table() });
        proves!(image: R29, R56; assert_eq!((status, b.calls().len()), (SUCCESS, 0)));
        b.deregister(provider);
        b.script(|script| drop(script.fail.insert("set_affinity", vec![STATUS_UNSUCCESSFUL])));
        let (status, provider) = b.register_with(&b.table());
        proves!(image: R56; assert_eq!(status, SUCCESS));
        b.deregister(provider);
    });
}

#[test]
fn a_device_registers_once_and_several_devices_side_by_side() {
    with_bench(V, |b| {
        let first = b.register();
        assert_eq!(b.register_with(&b.table()), (STATUS_UNSUCCESSFUL, 0));
        let pdo = b.device(false);
        let (status, second) = b.register_with(&Table { pdo, ..b.table() });
        proves!(image: R7; assert_eq!(status, SUCCESS));
        assert_ne!(first, second);
        b.deregister(first);
        b.deregister(second);
        b.k.call_export("IoDeleteDevice", &[pdo]);
    });
}

#[test]
fn registration_calls_at_a_raised_level_are_refused() {
    with_bench(V, |b| {
        let old = b.k.raise_irql(DISPATCH);
        let (status, handle) = b.register_with(&b.table());
        b.k.lower_irql(old);
        proves!(image: R36; assert_eq!((status, handle), (STATUS_UNSUCCESSFUL, 0)));
        let provider = b.provider();
        for export in ["NetDmaProviderStop", "NetDmaDeregisterProvider"] {
            b.call_at(DISPATCH, export, &[provider]);
            assert_eq!(b.event("CallRefused").and_then(|seen| seen.value("misuse")), Some(2));
        }
        b.deregister(provider);
    });
}

#[test]
fn bad_attributes_leave_the_provider_stopped() {
    with_bench(V, |b| {
        let provider = b.register();
        let client = b.client(1);
        for (channels, size, address) in [(0, 4096, 1), (1, 4095, 1), (1, 4096, 0)] {
            b.start_with(provider, channels, size, address);
            let refused = b.allocate_with(client, 0, 0, 0, 0, 0);
            proves!(image: R67; assert_eq!(refused, (STATUS_DEVICE_NOT_READY, 0)));
        }
        b.call("NetDmaProviderStart", &[provider, 0]);
        assert_eq!(b.allocate_with(client, 0, 0, 0, 0, 0).0, STATUS_DEVICE_NOT_READY);
        b.deregister(provider);
        b.deregister_client(client);
    });
}

#[test]
fn the_latest_start_counts() {
    with_bench(V, |b| {
        let provider = b.register();
        let client = b.client(1);
        b.start_with(provider, 9, 4096, (1 << 40) - 1);
        let both = (b.allocate(client), b.allocate(client));
        let third = b.allocate_with(client, 0, 0, 0, 0, 0);
        proves!(image: R64, R68; assert_eq!(third.0, STATUS_INSUFFICIENT_RESOURCES));
        b.stop(provider);
        b.start_with(provider, 1, 4096, (1 << 40) - 1);
        let again = b.allocate(client);
        proves!(image: R65, R66; assert_eq!(b.allocate_with(client, 0, 0, 0, 0, 0).0, STATUS_INSUFFICIENT_RESOURCES));
        for channel in [both.0, both.1, again] {
            assert_eq!(b.free(channel), SUCCESS);
        }
        b.deregister(provider);
        b.deregister_client(client);
    });
}

#[test]
fn remapped_memory_refuses_the_start_by_name() {
    with_machine(V, true, |b| {
        let provider = b.register();
        b.start(provider);
        let seen = b.event("RemappedMemoryRefused").expect("the named event");
        assert_ne!(seen.value("logical"), seen.value("physical"));
        let client = b.client(1);
        assert_eq!(b.allocate_with(client, 0, 0, 0, 0, 0).0, STATUS_DEVICE_NOT_READY);
        b.deregister(provider);
        b.deregister_client(client);
    });
}

#[test]
fn stop_returns_when_everything_is_done_and_freed() {
    with_bench(V, |b| {
        let provider = b.provider();
        let client = b.client(1);
        let channel = b.allocate(client);
        let cookie = b.post(channel);
        b.run(b.first());
        b.calls();
        b.stop(provider);
        proves!(image: R72; assert_eq!(b.told().iter().map(|told| (told.cookie, told.status)).collect::<Vec<_>>(), [(cookie, SUCCESS)]));
        proves!(image: R73, R106; assert_eq!(b.entries(), ["free"]));
        proves!(image: R74; assert_eq!(b.null(channel, 0).0, STATUS_DEVICE_REMOVED));
        assert!(b.is_complete(channel, cookie));
        b.stop(provider);
        proves!(image: R81; assert!(b.calls().is_empty()));
        assert_eq!(b.free(channel), SUCCESS);
        assert_eq!(b.free(channel), STATUS_INVALID_HANDLE);
        proves!(image: R107; assert!(b.calls().is_empty()));
        b.deregister(provider);
        b.deregister_client(client);
    });
}

#[test]
fn stop_aborts_a_channel_on_which_nothing_moves_and_names_its_client() {
    with_bench(V, |b| {
        let provider = b.provider();
        let client = b.client(1);
        let channel = b.allocate(client);
        let cookie = b.post(channel);
        b.calls();
        b.stop(provider);
        assert_eq!(b.entries(), ["abort", "free"]);
        let told = b.told();
        assert_eq!((told.len(), told[0].cookie, told[0].status), (1, cookie, STATUS_REQUEST_ABORTED));
        assert_eq!(b.event("DrainAborted").and_then(|seen| seen.value("outstanding")), Some(1));
        b.deregister(provider);
        b.deregister_client(client);
    });
}

#[test]
fn a_halted_channel_counts_as_drained() {
    with_bench(V, |b| {
        let provider = b.provider();
        let client = b.client(1);
        let channel = b.allocate(client);
        b.post(channel);
        b.halt(b.first());
        b.calls();
        b.stop(provider);
        assert_eq!(b.entries(), ["free"], "no abort was needed (Q19)");
        proves!(image: R72; assert_eq!(b.told().iter().map(|told| told.status).collect::<Vec<_>>(), [STATUS_IO_DEVICE_ERROR]));
        b.deregister(provider);
        b.deregister_client(client);
    });
}

#[test]
fn deregistering_a_started_provider_stops_it_first_and_kills_the_handle() {
    with_bench(V, |b| {
        let provider = b.provider();
        let client = b.client(1);
        b.allocate(client);
        b.calls();
        b.deregister(provider);
        proves!(image: R80; assert_eq!(b.entries(), ["free"]));
        for export in ["NetDmaProviderStop", "NetDmaDeregisterProvider"] {
            b.call(export, &[provider]);
        }
        b.start(provider);
        b.power(provider, 5);
        proves!(image: R79; assert!(b.calls().is_empty()));
        assert_eq!(b.event("CallRefused").and_then(|seen| seen.value("misuse")), Some(1));
        b.deregister_client(client);
    });
}

#[test]
fn the_image_does_not_unload_while_somebody_is_registered_whom_it_then_forgets() {
    // DllUnload means that no importer is left: neither the provider's entry points nor the client's callbacks are there.
    with_bench(V, |b| {
        b.client(1);
        let provider = b.provider();
        b.notices();
        b.calls();
        assert_eq!(b.call("DllUnload", &[]) as i32, STATUS_DEVICE_BUSY);
        let client = b.client(2);
        assert_eq!(b.allocate_with(client, 0, 0, 0, 0, 0), (STATUS_DEVICE_NOT_READY, 0));
        b.stop(provider);
        b.deregister(provider);
        proves!(image: R79; assert!(b.calls().is_empty() && b.notices().is_empty()));
        let second = b.provider();
        assert_eq!(
            b.notices().iter().map(|notice| notice.0).collect::<Vec<_>>(),
            [2; 4],
            "only the new client"
        );
        b.deregister(second);
        b.deregister_client(client);
        assert_eq!(b.call("DllUnload", &[]) as i32, STATUS_DEVICE_BUSY, "what was forgotten keeps the image");
    });
    with_bench(V, |b| {
        let provider = b.provider();
        b.deregister(provider);
        let client = b.client(1);
        b.deregister_client(client);
        assert_eq!(b.call("DllUnload", &[]) as i32, SUCCESS);
    });
}
