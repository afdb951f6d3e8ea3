//! Completion: word, interrupt, poll, batches, statistics (spec 3.12, 3.17).

use netdma_abi::Version;
use netdma_abi::completion::{TransferStatus, word};
use netdma_abi::status::*;
use proof::proves;

use crate::bench::*;
use crate::channels::with_channel;

const V: Version = Version::V2_1;

#[test]
fn an_interrupt_is_answered_with_the_channels_processor() {
    with_channel(V, |b, _| {
        let handle = b.channel(b.first()).asked.handle;
        let out = b.scratch + 0x90;
        b.k.write(out, u32::MAX);
        b.call_at(9, "NetDmaIsr", &[handle, 0, out]);
        proves!(image: R201, R206, R286; assert_eq!(b.k.read::<u32>(out), 1));
        b.k.write(out, u32::MAX);
        b.call_at(9, "NetDmaIsr", &[handle ^ 0x10000, 0, out]);
        proves!(image: R201; assert_eq!(b.k.read::<u32>(out), 0));
        b.call_at(9, "NetDmaIsr", &[handle, 0, 0]);
    });
}

#[test]
fn a_dpc_completes_everything_up_to_the_reported_descriptor_once() {
    with_channel(V, |b, channel| {
        let cookies: Vec<u64> = (0..3).map(|_| b.post(channel)).collect();
        b.step(b.first());
        b.step(b.first());
        b.dpc(b.first());
        let told = b.told();
        proves!(image: R207, R209; assert_eq!(told.iter().map(|told| told.cookie).collect::<Vec<_>>(), cookies[..2]));
        assert!(told.iter().all(|told| told.irql == DISPATCH
            && told.channel == CHANNEL_CONTEXT
            && told.user == 0x0005_EED0));
        b.dpc(b.first());
        proves!(image: R209; assert!(b.told().is_empty()));
        b.run(b.first());
        b.dpc(b.first());
        assert_eq!(b.told()[0].cookie, cookies[2]);
    });
}

#[test]
fn a_batch_reports_once_and_completes_whole() {
    with_channel(V, |b, channel| {
        assert_eq!(b.set_limit(channel, 20), SUCCESS);
        assert_eq!(b.call("NetDmaGetMaxPendingDescriptors", &[channel]) as u32, 20);
        assert_eq!(b.set_limit(channel, 0), STATUS_INVALID_PARAMETER);
        for _ in 0..19 {
            b.post(channel);
        }
        assert!(b.calls().is_empty());
        b.post(channel);
        let calls = b.calls();
        assert_eq!((calls.len(), calls[0].count), (1, 20));
        b.run(b.first());
        proves!(image: R155, R156; assert_eq!(b.channel(b.first()).interrupts, 1));
        b.dpc(b.first());
        proves!(image: R155; assert_eq!(b.told().len(), 20));
        let counters = b.statistics(channel, 0).expect("counters");
        assert_eq!(
            (counters.submitted, counters.completed, counters.descriptors, counters.batches, counters.dpcs),
            (20, 20, 20, 1, 1)
        );
    });
}

#[test]
fn a_report_ahead_of_the_word_waits_for_the_word() {
    with_channel(V, |b, channel| {
        b.set_limit(channel, 4);
        for _ in 0..4 {
            b.post(channel);
        }
        b.step(b.first());
        b.step(b.first());
        b.dpc(b.first());
        assert!(b.told().is_empty(), "only the last descriptor of a batch writes the word");
        b.run(b.first());
        b.dpc(b.first());
        proves!(image: R205, R209; assert_eq!(b.told().len(), 4));
        assert!(b.event("ForeignCompletion").is_none() && b.event("CallRefused").is_none());
    });
}

#[test]
fn a_flush_posts_what_waits() {
    with_channel(V, |b, channel| {
        b.set_limit(channel, 1000);
        b.post(channel);
        assert!(b.calls().is_empty());
        assert_eq!(b.call("NetDmaFlushPendingDescriptors", &[channel]) as i32, SUCCESS);
        assert_eq!(b.entries(), ["start"]);
        b.run(b.first());
        b.dpc(b.first());
    });
}

#[test]
fn a_poll_finds_completions_without_any_interrupt() {
    with_bench(V, |b| {
        let provider = b.provider();
        let client = b.client(1);
        let (status, channel) = b.allocate_with(client, 0, 1, 0, 0, 0);
        assert_eq!(status, SUCCESS);
        let cookie = b.post(channel);
        assert!(!b.is_complete(channel, cookie));
        b.run(b.first());
        proves!(image: R156; assert_eq!(b.channel(b.first()).interrupts, 0));
        assert!(b.is_complete(channel, cookie));
        assert_eq!(b.told().len(), 1);
        assert!(!b.is_complete(channel, cookie + 1), "never given");
        assert!(!b.is_complete(channel, 0));
        assert!(!b.is_complete(0xBAD, cookie));
        assert_eq!(b.statistics(channel, 0).map(|counters| counters.polls > 0), Ok(true));
        b.free(channel);
        b.deregister(provider);
        b.deregister_client(client);
    });
}

/// What is in the machine's history of `work`: the driver's calls of the kernel, by name, and events.
fn kernel_calls(b: &Bench<'_>, work: impl FnOnce()) -> Vec<String> {
    let before = b.k.trace_length();
    work();
    let events = b.k.last_events();
    assert!(b.k.trace_length() - before <= events.len() as u64, "the history keeps all of it");
    events.into_iter().filter(|event| event.number >= before).map(|event| event.what.into_owned()).collect()
}

/// How many of `calls` are of one of `names`.
fn count_of(calls: &[String], names: &[&str]) -> usize {
    calls.iter().filter(|call| names.iter().any(|name| call.contains(name))).count()
}

/// D5: one lock and no allocation for a submission, no lock for a poll that finds nothing new, whatever has been found.
#[test]
fn a_submission_takes_one_lock_and_a_poll_that_finds_nothing_new_takes_none() {
    const LOCKS: [&str; 2] = ["KeAcquireSpinLockRaiseToDpc", "KeAcquireSpinLockAtDpcLevel"];
    const POOL: [&str; 2] = ["ExAllocatePool", "ExFreePool"];
    with_channel(V, |b, channel| {
        let mut cookies = Vec::new();
        for _ in 0..2 {
            let calls = kernel_calls(b, || cookies.push(b.post(channel)));
            assert_eq!((count_of(&calls, &LOCKS), count_of(&calls, &POOL)), (1, 0), "{calls:?}");
        }
        let locks_of = |cookie, expected| {
            let calls = kernel_calls(b, || assert_eq!(b.is_complete(channel, cookie), expected));
            assert_eq!(count_of(&calls, &POOL), 0, "{calls:?}");
            count_of(&calls, &LOCKS)
        };
        assert_eq!(locks_of(cookies[0], false), 0, "the engine has done nothing");
        assert!(b.step(b.first()));
        assert!(locks_of(cookies[1], false) > 0, "the word is another");
        assert_eq!(locks_of(cookies[1], false), 0, "and is known now");
        assert_eq!(locks_of(cookies[0], true), 0, "what is known to be over needs no look");
        assert!(b.step(b.first()));
        assert!(locks_of(cookies[1], true) > 0);
        assert_eq!(locks_of(cookies[1], true), 0);
        assert_eq!(
            b.statistics(channel, 0).map(|counters| counters.polls),
            Ok(4),
            "those that were not over"
        );
    });
}

#[test]
fn an_armed_or_stale_word_completes_nothing() {
    with_channel(V, |b, channel| {
        let cookie = b.post(channel);
        let at = b.calls()[0].address;
        b.write_word(b.first(), word(at, TransferStatus::Armed));
        proves!(image: R149, R151; assert!(!b.is_complete(channel, cookie)));
        b.write_word(b.first(), word(at, TransferStatus::Idle) | 0x38);
        proves!(image: R150; assert!(b.is_complete(channel, cookie)));
        let second = b.post(channel);
        proves!(image: R209; assert!(!b.is_complete(channel, second), "the word still names the first"));
        b.run(b.first());
        b.dpc(b.first());
    });
}

#[test]
fn a_nonsense_word_completes_nothing_and_resets_the_channel() {
    for nonsense in [u64::MAX, 0x7777_0000_0001, 0x5] {
        with_channel(V, |b, channel| {
            let cookie = b.post(channel);
            b.calls();
            b.write_word(b.first(), nonsense);
            b.is_complete(channel, cookie);
            assert_eq!(b.event("ForeignCompletion").and_then(|seen| seen.value("word")), Some(nonsense));
            assert_eq!(b.entries(), ["reset"]);
            let told = b.told();
            assert_eq!((told.len(), told[0].status), (1, STATUS_IO_DEVICE_ERROR));
            let again = b.post(channel);
            assert_eq!(b.entries(), ["start"]);
            b.run(b.first());
            b.dpc(b.first());
            assert_eq!(b.told()[0].cookie, again);
        });
    }
}

#[test]
fn a_report_of_zero_on_a_halted_channel_fails_its_work_and_forces_a_start() {
    with_channel(V, |b, channel| {
        let cookies: Vec<u64> = (0..3).map(|_| b.post(channel)).collect();
        b.step(b.first());
        b.halt(b.first());
        let handle = b.channel(b.first()).asked.handle;
        b.call_at(DISPATCH, "NetDmaInterruptDpc", &[handle, 0]);
        let told: Vec<_> = b.told().iter().map(|told| (told.cookie, told.status)).collect();
        proves!(image: R208, R211; assert_eq!(told, [
            (cookies[0], SUCCESS),
            (cookies[1], STATUS_IO_DEVICE_ERROR),
            (cookies[2], STATUS_IO_DEVICE_ERROR),
        ]));
        assert_eq!(b.event("ChannelHalted").and_then(|seen| seen.value("outstanding")), Some(2));
        b.calls();
        b.post(channel);
        proves!(image: R211; assert_eq!(b.entries(), ["start"]));
        b.run(b.first());
        b.dpc(b.first());
        let counters = b.statistics(channel, 0).expect("counters");
        assert_eq!((counters.completed, counters.failed, counters.halts), (2, 2, 1));
    });
}

#[test]
fn a_1_0_provider_gets_the_fresh_start_it_asks_for_and_a_later_one_does_not() {
    for (version, expected) in [(Version::V1_0, vec!["start"]), (Version::V1_1, vec![]), (V, vec![])] {
        with_channel(version, |b, channel| {
            b.post(channel);
            b.run(b.first());
            b.dpc(b.first());
            b.calls();
            let handle = b.channel(b.first()).asked.handle;
            b.call_at(DISPATCH, "NetDmaInterruptDpc", &[handle, 0]);
            proves!(image: R282; assert_eq!(b.entries(), expected));
            b.run(b.first());
            b.dpc(b.first());
            assert_eq!(b.told().len(), 1, "nobody hears of the interface's own descriptor");
        });
    }
}

#[test]
fn reports_for_channels_that_are_not_there_are_ignored() {
    with_channel(V, |b, channel| {
        let handle = b.channel(b.first()).asked.handle;
        for forged in [0, channel, handle ^ 0x10000, u64::MAX] {
            b.call_at(DISPATCH, "NetDmaInterruptDpc", &[forged, 0]);
            assert_eq!(b.event("CallRefused").and_then(|seen| seen.value("misuse")), Some(1));
        }
        b.call("NetDmaInterruptDpc", &[handle, 0]);
        assert_eq!(
            b.event("CallRefused").and_then(|seen| seen.value("misuse")),
            Some(2),
            "not at DISPATCH_LEVEL"
        );
    });
}

#[test]
fn an_engine_that_completes_before_start_returns_is_understood() {
    with_channel(V, |b, channel| {
        b.script(|script| script.synchronous = true);
        let cookie = b.post(channel);
        let second = b.post(channel);
        assert!(b.is_complete(channel, second));
        assert!(b.is_complete(channel, cookie));
        assert_eq!(b.told().len(), 2);
    });
}

#[test]
fn statistics_of_a_provider_outlive_its_channels() {
    with_channel(V, |b, channel| {
        b.post(channel);
        b.run(b.first());
        b.dpc(b.first());
        assert_eq!(b.statistics(0, 1).map(|counters| (counters.completed, counters.channels)), Ok((1, 1)));
        b.free(channel);
        assert_eq!(b.statistics(0, 1).map(|counters| (counters.completed, counters.size)), Ok((1, 0x88)));
        assert_eq!(b.statistics(0, 77), Err(STATUS_INVALID_PARAMETER));
        assert_eq!(b.statistics(channel, 0), Err(STATUS_INVALID_HANDLE));
        let bytes = b.scratch + 0x180;
        b.k.write(bytes, 0x87_u32);
        let short = b.call("NetDmaQueryStatistics", &[0, 1, b.scratch, bytes]) as i32;
        assert_eq!((short, b.k.read::<u32>(bytes)), (STATUS_BUFFER_TOO_SMALL, 0x88));
    });
}
