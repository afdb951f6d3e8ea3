//! Direct cache access (spec 3.21): the engine is told whose cache to hint at before a copy asks for hints, and again whenever
//! it may have forgotten.

use netdma_abi::Version;
use netdma_abi::descriptor::*;
use netdma_abi::provider::CHARACTERISTICS_DCA_SUPPORTED;
use netdma_abi::status::*;
use proof::proves;

use crate::bench::*;

/// What the machine's CPUID gives as APIC id of processor 1, which the provider reports for its channels.
const APIC_ID: u8 = 0x42;

/// A provider with direct cache access and one channel of one client.
fn with_cache(version: Version, first_apic_id: u32, work: impl FnOnce(&Bench<'_>, u64, u64)) {
    on_machine(version, false, machine().first_apic_id(first_apic_id), |b| {
        let (status, provider) =
            b.register_with(&Table { flags: CHARACTERISTICS_DCA_SUPPORTED, ..b.table() });
        assert_eq!(status, SUCCESS);
        b.start(provider);
        let client = b.client(1);
        b.calls();
        let channel = b.allocate(client);
        work(b, channel, provider);
        b.run(b.first());
        b.free(channel);
        b.deregister(provider);
        b.deregister_client(client);
    });
}

fn with_known(version: Version, work: impl FnOnce(&Bench<'_>, u64, u64)) {
    with_cache(version, u32::from(APIC_ID) - 2, work);
}

/// A copy of eight bytes that asks for hints. Its status.
fn hinted_copy(b: &Bench<'_>, channel: u64, buffer: &Buffer<'_>) -> i32 {
    let flags = DESTINATION_DCA_ENABLE.into();
    let arguments = [channel, buffer.mdl, 0, buffer.physical(64), 8, flags, 0, b.scratch + 0x88];
    b.call("NetDmaChainCopyPhysicalToVirtual", &arguments) as i32
}

/// Entry points called since the last question, with the words of what they were given first.
fn posted(b: &Bench<'_>) -> Vec<(&'static str, Option<[u64; 8]>)> {
    let calls = b.calls();
    calls.iter().map(|call| (call.entry, (call.count > 0).then(|| b.descriptor(call.address)))).collect()
}

fn flags(words: &[u64; 8]) -> u32 {
    (words[0] >> 32) as u32
}

fn is_context_change(words: Option<[u64; 8]>) -> bool {
    words.is_some_and(|words| flags(&words) & OP_TYPE_MASK == OP_TYPE_CONTEXT_CHANGE)
}

#[test]
fn the_first_descriptor_of_a_channel_names_its_processors_apic_id() {
    for version in [Version::V2_0, Version::V2_1] {
        with_known(version, |b, channel, _| {
            let calls = posted(b);
            assert_eq!(calls.iter().map(|call| call.0).collect::<Vec<_>>(), ["allocate", "start"]);
            let words = calls[1].1.expect("a descriptor");
            proves!(image: R241; assert_eq!(flags(&words), OP_TYPE_CONTEXT_CHANGE | DCA_CONTEXT_CHANGE | STATUS_UPDATE_ON_COMPLETION));
            proves!(image: R242; assert_eq!(words[0] as u32, u32::from(APIC_ID)));
            proves!(image: R160; assert_eq!(flags(&words) & RESERVED_MASK, 0));
            let buffer = b.buffer(4096, 0, 4096);
            buffer.fill(&[7; 128]);
            assert_eq!(hinted_copy(b, channel, &buffer), PENDING);
            b.run(b.first());
            b.dpc(b.first());
            let state = b.channel(b.first());
            assert_eq!(state.hints, [(buffer.physical(0), Some(APIC_ID))], "asked for and targeted");
            assert_eq!(state.interrupts, 1, "bit 0 of a change of context asks for no interrupt");
            assert_eq!(b.told().len(), 1, "the interface's own descriptor is nobody's");
        });
    }
}

#[test]
fn a_provider_without_direct_cache_access_gets_no_change_of_context_and_no_hints() {
    for version in [Version::V1_0, Version::V1_1, Version::V2_0, Version::V2_1] {
        crate::channels::with_channel(version, |b, channel| {
            proves!(image: R246; assert!(b.calls().is_empty(), "nothing was posted at allocation"));
            let buffer = b.buffer(4096, 0, 4096);
            assert_eq!(hinted_copy(b, channel, &buffer), PENDING);
            b.run(b.first());
            b.dpc(b.first());
            let ran = b.channel(b.first()).ran;
            proves!(image: R21, R246; assert!(ran.iter().all(|words| flags(words) & (OP_TYPE_MASK | DESTINATION_DCA_ENABLE) == 0)));
        });
    }
}

#[test]
fn without_an_8_bit_apic_id_direct_cache_access_stays_off() {
    with_cache(Version::V2_1, 254, |b, channel, _| {
        assert_eq!(b.entries(), ["allocate"]);
        let buffer = b.buffer(4096, 0, 4096);
        assert_eq!(hinted_copy(b, channel, &buffer), PENDING);
        b.run(b.first());
        b.dpc(b.first());
        assert!(b.channel(b.first()).hints.is_empty());
    });
}

#[test]
fn after_suspend_and_resume_the_context_is_sent_again() {
    with_known(Version::V2_1, |b, channel, _| {
        let buffer = b.buffer(4096, 0, 4096);
        b.run(b.first());
        b.calls();
        assert_eq!(b.call("NetDmaSuspendChannel", &[channel]) as i32, SUCCESS);
        assert_eq!(hinted_copy(b, channel, &buffer), PENDING);
        assert_eq!(b.call("NetDmaResumeChannel", &[channel]) as i32, SUCCESS);
        let calls = posted(b);
        assert_eq!(
            calls.iter().map(|call| call.0).collect::<Vec<_>>(),
            ["suspend", "resume", "append", "append"]
        );
        proves!(image: R184; assert!(!is_context_change(calls[2].1) && is_context_change(calls[3].1)));
        assert_eq!(flags(&calls[2].1.expect("a copy")) & DESTINATION_DCA_ENABLE, 0, "before it no hints");
        assert_eq!(hinted_copy(b, channel, &buffer), PENDING);
        b.run(b.first());
        b.dpc(b.first());
        assert_eq!((b.channel(b.first()).hints.len(), b.told().len()), (1, 2));
    });
}

#[test]
fn after_abort_and_reset_the_context_is_sent_before_further_hints() {
    for export in ["NetDmaAbortChannel", "NetDmaResetChannel"] {
        with_known(Version::V2_1, |b, channel, _| {
            let buffer = b.buffer(4096, 0, 4096);
            b.run(b.first());
            assert_eq!(hinted_copy(b, channel, &buffer), PENDING);
            b.calls();
            assert_eq!(b.call(export, &[channel]) as i32, SUCCESS);
            let calls = posted(b);
            proves!(image: R280; assert!(calls[1].0 == "start" && is_context_change(calls[1].1)));
            assert_eq!(hinted_copy(b, channel, &buffer), PENDING);
            b.run(b.first());
            b.dpc(b.first());
            assert_eq!(b.channel(b.first()).hints.len(), 1);
            let statuses: Vec<i32> = b.told().iter().map(|told| told.status).collect();
            assert_eq!(statuses, [STATUS_REQUEST_ABORTED, SUCCESS]);
        });
    }
}

#[test]
fn a_reset_of_the_interfaces_own_takes_the_hints_from_what_waits() {
    with_known(Version::V2_1, |b, channel, _| {
        let buffer = b.buffer(4096, 0, 4096);
        b.run(b.first());
        b.dpc(b.first());
        b.set_limit(channel, 2);
        b.script(|script| {
            drop(script.fail.insert("append", vec![STATUS_UNSUCCESSFUL]));
            drop(script.fail.insert("start", vec![STATUS_UNSUCCESSFUL]));
        });
        b.calls();
        assert_eq!((hinted_copy(b, channel, &buffer), hinted_copy(b, channel, &buffer)), (PENDING, PENDING));
        let calls = posted(b);
        assert_eq!(
            calls.iter().map(|call| call.0).collect::<Vec<_>>(),
            ["append", "start", "reset", "start"]
        );
        let started = calls[3].1.expect("a copy");
        proves!(image: R280; assert_eq!(flags(&started) & DESTINATION_DCA_ENABLE, 0));
        b.calls();
        // The engine has done nothing, and still a poll has something to do.
        assert!(!b.is_complete(channel, u64::MAX));
        assert_eq!(b.entries(), ["append"], "the context follows");
        b.run(b.first());
        b.dpc(b.first());
        b.set_limit(channel, 1);
        assert_eq!(hinted_copy(b, channel, &buffer), PENDING);
        b.run(b.first());
        b.dpc(b.first());
        assert_eq!((b.channel(b.first()).hints.len(), b.told().len()), (1, 3));
    });
}

#[test]
fn power_up_sends_the_context_before_clients_are_told() {
    with_known(Version::V2_1, |b, channel, provider| {
        let buffer = b.buffer(4096, 0, 4096);
        b.run(b.first());
        b.power(provider, 5);
        b.calls();
        b.power(provider, 6);
        let calls = b.calls();
        assert_eq!(calls.iter().map(|call| (call.entry, call.count)).collect::<Vec<_>>(), [("start", 2)]);
        let second = b.descriptor(b.descriptor(calls[0].address)[3]);
        proves!(image: R223; assert!(is_context_change(Some(second)) && second[0] as u32 == u32::from(APIC_ID)));
        assert_eq!(hinted_copy(b, channel, &buffer), PENDING);
        b.run(b.first());
        b.dpc(b.first());
        assert_eq!(b.channel(b.first()).hints.len(), 1);
    });
}
