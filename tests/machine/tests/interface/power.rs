//! Power notices (spec 3.19).

use netdma_abi::Version;
use netdma_abi::status::*;
use proof::proves;

use crate::bench::*;

const V: Version = Version::V2_1;
const DOWN: u32 = 5;
const UP: u32 = 6;

#[test]
fn a_power_cycle_keeps_channels_and_starts_them_anew_before_clients_are_told() {
    for version in [Version::V1_1, V] {
        with_bench(version, |b| {
            let provider = b.provider();
            let client = b.client(1);
            let channel = b.allocate(client);
            b.post(channel);
            b.run(b.first());
            b.calls();
            b.notices();
            b.power(provider, DOWN);
            proves!(image: R218; assert_eq!(b.notices(), [(1, DOWN, 1)]));
            proves!(image: R219; assert_eq!(b.told().len(), 1));
            proves!(image: R220; assert_eq!(b.null(channel, 0).0, STATUS_DEVICE_NOT_READY));
            let refused = b.allocate_with(client, 0, 0, 0, 0, 0);
            proves!(image: R220; assert_eq!((refused.0, b.calls().len()), (STATUS_DEVICE_NOT_READY, 0)));
            b.power(provider, UP);
            let calls = b.calls();
            proves!(image: R221, R222, R277; assert_eq!(calls.iter().map(|call| (call.entry, call.count)).collect::<Vec<_>>(), [("start", 1)]));
            proves!(image: R218; assert_eq!(b.notices(), [(1, UP, 1)]));
            b.run(b.first());
            b.post(channel);
            b.run(b.first());
            b.dpc(b.first());
            assert_eq!(b.told().len(), 1, "the interface's own descriptor is nobody's");
            b.free(channel);
            b.deregister(provider);
            b.deregister_client(client);
        });
    }
}

#[test]
fn power_down_waits_for_what_is_outstanding() {
    with_bench(V, |b| {
        let provider = b.provider();
        let client = b.client(1);
        let channel = b.allocate(client);
        b.post(channel);
        b.calls();
        b.power(provider, DOWN);
        proves!(image: R219; assert_eq!(b.told().len(), 1));
        assert_eq!(b.entries(), ["abort"], "nothing moved for the drain limit");
        b.power(provider, UP);
        b.run(b.first());
        assert_eq!(b.free(channel), SUCCESS);
        b.deregister(provider);
        b.deregister_client(client);
    });
}

#[test]
fn a_channel_can_be_freed_and_a_provider_stopped_while_powered_down() {
    with_bench(V, |b| {
        let provider = b.provider();
        let client = b.client(1);
        let (first, second) = (b.allocate(client), b.allocate(client));
        b.power(provider, DOWN);
        b.calls();
        assert_eq!(b.free(first), SUCCESS);
        b.stop(provider);
        assert_eq!(b.entries(), ["free", "free"]);
        assert_eq!(b.free(second), SUCCESS);
        b.deregister(provider);
        b.deregister_client(client);
    });
}

#[test]
fn notices_that_do_not_fit_are_ignored() {
    with_bench(V, |b| {
        let provider = b.provider();
        let client = b.client(1);
        let channel = b.allocate(client);
        b.notices();
        b.calls();
        b.power(provider, UP);
        for code in [0, 1, 2, 3, 4, 7, u32::MAX] {
            b.power(provider, code);
        }
        b.call("NetDmaPnPEventNotify", &[provider, 0]);
        b.k.write(b.scratch, 2_u32);
        b.call("NetDmaPnPEventNotify", &[provider, b.scratch]);
        proves!(image: R227; assert!(b.notices().is_empty() && b.calls().is_empty()));
        b.post(channel);
        b.run(b.first());
        b.free(channel);
        b.deregister(provider);
        b.deregister_client(client);
    });
}

#[test]
fn a_1_0_provider_cannot_notify() {
    with_bench(Version::V1_0, |b| {
        let provider = b.provider();
        let client = b.client(1);
        let channel = b.allocate(client);
        b.notices();
        b.power(provider, DOWN);
        proves!(image: R226; assert!(b.notices().is_empty()));
        assert_eq!(b.null(channel, 0).0, PENDING);
        b.run(b.first());
        b.free(channel);
        b.deregister(provider);
        b.deregister_client(client);
    });
}
