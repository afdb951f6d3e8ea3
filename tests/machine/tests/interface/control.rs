//! Suspend, resume, abort, reset (spec 3.14 to 3.16).

use netdma_abi::Version;
use netdma_abi::status::*;
use proof::proves;

use crate::bench::*;
use crate::channels::with_channel;

const V: Version = Version::V2_1;

fn control(b: &Bench<'_>, export: &str, channel: u64) -> i32 {
    b.call(export, &[channel]) as i32
}

#[test]
fn a_suspended_channel_accepts_and_posts_after_resume() {
    for pointer_form in [false, true] {
        with_channel(V, |b, channel| {
            b.script(|script| script.pointer_form = pointer_form);
            let cookies = [b.post(channel), b.post(channel)];
            b.step(b.first());
            b.calls();
            assert_eq!(control(b, "NetDmaSuspendChannel", channel), SUCCESS);
            let told = b.told();
            proves!(image: R181; assert_eq!(told.iter().map(|told| told.cookie).collect::<Vec<_>>(), cookies[..1]));
            let third = b.post(channel);
            proves!(image: R177; assert_eq!(b.entries(), ["suspend"]));
            proves!(image: R179; assert_eq!(control(b, "NetDmaSuspendChannel", channel), STATUS_INVALID_DEVICE_STATE));
            assert_eq!(control(b, "NetDmaResumeChannel", channel), SUCCESS);
            assert_eq!(b.entries(), ["resume", "append"]);
            b.run(b.first());
            b.dpc(b.first());
            let told = b.told();
            assert_eq!((told.len(), told[1].cookie), (2, third));
            proves!(image: R179; assert_eq!(control(b, "NetDmaResumeChannel", channel), STATUS_INVALID_DEVICE_STATE));
        });
    }
}

#[test]
fn absent_entry_points_are_not_supported_and_never_called() {
    with_bench(V, |b| {
        let absent = vec!["suspend", "resume", "abort", "reset"];
        let (status, provider) = b.register_with(&Table { absent, ..b.table() });
        assert_eq!(status, SUCCESS);
        b.start(provider);
        let client = b.client(1);
        let channel = b.allocate(client);
        b.post(channel);
        b.calls();
        for export in ["NetDmaSuspendChannel", "NetDmaAbortChannel", "NetDmaResetChannel"] {
            assert_eq!(control(b, export, channel), STATUS_NOT_SUPPORTED);
        }
        proves!(image: R29; assert!(b.calls().is_empty()));
        b.run(b.first());
        b.dpc(b.first());
        assert_eq!(b.told().len(), 1, "the channel goes on");
        b.free(channel);
        b.deregister(provider);
        b.deregister_client(client);
    });
}

#[test]
fn an_engine_that_can_neither_abort_nor_reset_is_waited_for() {
    with_bench(V, |b| {
        let absent = vec!["abort", "reset"];
        let (_, provider) = b.register_with(&Table { absent, ..b.table() });
        b.start(provider);
        let client = b.client(1);
        let channel = b.allocate(client);
        let cookie = b.post(channel);
        let first = b.first();
        // The engine takes longer than the drain limit, then finishes.
        let other = b.k.spawn(
            "engine",
            0,
            Box::new(move |k| {
                let wait = k.system_allocate(8, "interval");
                k.write(wait, -25_000_000_i64);
                k.call_export("KeDelayExecutionThread", &[0, 0, wait]);
                while crate::bench::step_of(k, first) {}
            }),
        );
        b.stop(provider);
        b.k.join(other);
        let told = b.told();
        proves!(image: R197; assert_eq!((told.len(), told[0].cookie, told[0].status), (1, cookie, SUCCESS)));
        b.deregister(provider);
        b.deregister_client(client);
    });
}

#[test]
fn after_abort_and_reset_everything_accepted_has_ended_and_the_next_post_is_a_start() {
    for (export, entry) in [("NetDmaAbortChannel", "abort"), ("NetDmaResetChannel", "reset")] {
        with_channel(V, |b, channel| {
            b.post(channel);
            b.step(b.first());
            b.post(channel);
            b.set_limit(channel, 5);
            b.post(channel);
            b.calls();
            assert_eq!(control(b, export, channel), SUCCESS);
            assert_eq!(b.entries(), [entry]);
            let statuses: Vec<i32> = b.told().iter().map(|told| told.status).collect();
            assert_eq!(statuses, [SUCCESS, STATUS_REQUEST_ABORTED, STATUS_REQUEST_ABORTED]);
            b.set_limit(channel, 1);
            b.post(channel);
            proves!(image: R137; assert_eq!(b.entries(), ["start"]));
            b.run(b.first());
            b.dpc(b.first());
            assert_eq!(b.told().len(), 1);
        });
    }
}

#[test]
fn a_control_call_sees_the_callers_own_level() {
    with_channel(V, |b, channel| {
        b.post(channel);
        b.calls();
        control(b, "NetDmaAbortChannel", channel);
        b.call_at(DISPATCH, "NetDmaAbortChannel", &[channel]);
        let levels: Vec<u8> = b.calls().iter().map(|call| call.irql).collect();
        proves!(image: R253; assert_eq!(levels, [PASSIVE, DISPATCH]));
    });
}

#[test]
fn a_failed_abort_reports_nothing_and_accepts_nothing_until_the_word_says_halted() {
    with_channel(V, |b, channel| {
        let cookie = b.post(channel);
        b.script(|script| drop(script.fail.insert("abort", vec![STATUS_UNSUCCESSFUL])));
        assert_eq!(control(b, "NetDmaAbortChannel", channel), STATUS_UNSUCCESSFUL);
        assert!(b.told().is_empty());
        assert_eq!(b.null(channel, 0).0, STATUS_INVALID_DEVICE_STATE);
        assert!(b.event("ChannelControlFailed").is_some());
        b.halt(b.first());
        let handle = b.channel(b.first()).asked.handle;
        b.call_at(DISPATCH, "NetDmaInterruptDpc", &[handle, 0]);
        let told = b.told();
        proves!(image: R276; assert_eq!((told.len(), told[0].cookie, told[0].status), (1, cookie, STATUS_REQUEST_ABORTED)));
        b.post(channel);
        b.run(b.first());
        b.dpc(b.first());
    });
}

#[test]
fn stop_and_free_resume_a_suspended_channel_before_they_wait() {
    for stop in [true, false] {
        with_bench(V, |b| {
            let provider = b.provider();
            let client = b.client(1);
            let channel = b.allocate(client);
            b.post(channel);
            control(b, "NetDmaSuspendChannel", channel);
            b.calls();
            b.script(|script| script.run_on_resume = true);
            if stop {
                b.stop(provider);
            } else {
                assert_eq!(b.free(channel), SUCCESS);
            }
            proves!(image: R285; assert_eq!(b.entries(), ["resume", "free"]));
            assert_eq!(b.told().iter().map(|told| told.status).collect::<Vec<_>>(), [SUCCESS]);
            b.deregister(provider);
            b.deregister_client(client);
        });
    }
}
