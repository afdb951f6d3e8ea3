//! The channel against a software engine: what the provider is asked, and what the client is told.

mod support;

use std::sync::atomic::Ordering;

use netdma_abi::completion::{self, TransferStatus};
use netdma_abi::status::*;
use netdma_abi::{NtStatus, Version};
use netdma_core::channel::{ChannelState, Control, ControlOutcome};
use proof::proves;
use support::{Bench, Call};

fn abort(bench: &Bench) -> Result<NtStatus, NtStatus> {
    let status = bench.control(Control::Abort(STATUS_REQUEST_ABORTED))?;
    bench.poll();
    Ok(status)
}

fn suspend(bench: &Bench) -> Result<NtStatus, NtStatus> {
    bench.control(Control::Suspend)
}

fn resume(bench: &Bench) -> Result<NtStatus, NtStatus> {
    bench.control(Control::Resume)
}

#[test]
fn the_first_post_is_a_start_with_the_word_armed_and_the_next_an_append() {
    let bench = Bench::new(Version::V2_1, 1);
    bench.null(1).expect("room");
    bench.null(2).expect("room");
    let calls = bench.engine.calls();
    proves!(crate: R111, R161; assert!(matches!(calls[0], Call::Start { count: 1, word: completion::ARMED, .. })));
    proves!(crate: R127, R134; assert!(matches!(calls[1], Call::Append { count: 1, address }
        if Some(address) == bench.with(|channel| channel.ring().address(1)))));
}

#[test]
fn a_copy_is_told_once_with_its_data_in_place() {
    let bench = Bench::new(Version::V2_1, 1);
    bench.engine.poke(0x5000_0123, b"netdma");
    let cookie = bench.copy(0x6000_0FFE, 0x5000_0123, 6, 7).expect("room");
    assert!(!bench.with(|channel| channel.is_complete(cookie as usize)));
    bench.engine.run();
    bench.poll();
    bench.poll();
    assert_eq!(bench.engine.peek(0x6000_0FFE, 6), b"netdma");
    proves!(crate: R209; assert_eq!(bench.told(), [(cookie, STATUS_SUCCESS)]));
    assert_eq!(bench.told.borrow()[0].context, 7);
    assert!(bench.with(|channel| channel.is_complete(cookie as usize)));
}

#[test]
fn a_cookie_that_was_never_given_is_not_complete() {
    let bench = Bench::new(Version::V2_1, 1);
    let cookie = bench.null(0).expect("room");
    bench.engine.run();
    bench.poll();
    for forged in [0, cookie + 1, u64::MAX] {
        assert!(!bench.with(|channel| channel.is_complete(forged as usize)));
    }
}

#[test]
fn requests_below_the_limit_wait_and_go_out_in_one_call_with_one_report() {
    let bench = Bench::new(Version::V2_1, 1);
    bench.with(|channel| channel.set_limit(&bench.engine, 8)).expect("a limit");
    for _ in 0..7 {
        bench.null(0).expect("room");
    }
    assert!(bench.engine.calls().is_empty());
    bench.null(0).expect("room");
    assert!(matches!(bench.engine.calls()[..], [Call::Start { count: 8, .. }]));
    bench.engine.run();
    assert_eq!(bench.engine.inner.borrow().interrupts, 1, "only the last descriptor of a batch interrupts");
    bench.poll();
    proves!(crate: R155, R209; assert_eq!(bench.told().len(), 8));
}

#[test]
fn a_flush_posts_what_waits() {
    let bench = Bench::new(Version::V2_1, 1);
    bench.with(|channel| channel.set_limit(&bench.engine, u32::MAX)).expect("a limit");
    bench.null(0).expect("room");
    bench.with(|channel| channel.post(&bench.engine));
    assert_eq!(bench.engine.calls().len(), 1);
    bench.with(|channel| channel.post(&bench.engine));
    assert_eq!(bench.engine.calls().len(), 1, "nothing waits, nothing is posted");
}

#[test]
fn a_ring_keeps_two_slots_back_and_refuses_the_rest_without_losing_any() {
    let bench = Bench::new(Version::V2_1, 1);
    for _ in 0..62 {
        bench.null(0).expect("room");
    }
    proves!(crate: R258, R259; assert_eq!(bench.null(0), Err(STATUS_INSUFFICIENT_RESOURCES)));
    bench.engine.run();
    bench.poll();
    assert_eq!(bench.told().len(), 62);
    bench.null(0).expect("room again");
    assert_eq!(bench.with(|channel| channel.statistics().ring_full), 1);
}

#[test]
fn a_request_that_does_not_fit_leaves_nothing_behind() {
    let bench = Bench::new(Version::V2_1, 1);
    let pieces: Vec<(u64, u64)> = (0..200).map(|n| (0x10_0000 + n * 0x3000, 0x10)).collect();
    let submit = || {
        let destination = Some(netdma_core::transfer::Run { address: 0x9000_0000, length: 0x4000 });
        let source = support::Pieces::new(&pieces);
        bench.with(|channel| channel.copy(&bench.engine, destination, source, 200 * 0x10, 0, 0))
    };
    assert_eq!(submit(), Err(STATUS_INSUFFICIENT_RESOURCES));
    assert_eq!(bench.with(|channel| channel.ring().built()), 0);
    assert!(bench.engine.calls().is_empty());
    bench.null(0).expect("room");
    bench.engine.run();
    bench.poll();
    assert_eq!(bench.told().len(), 1);
}

#[test]
fn a_copy_beyond_the_engines_reach_is_refused() {
    let bench = Bench::new(Version::V2_1, 1);
    proves!(crate: R70; assert_eq!(bench.copy(0x1000, 1 << 46, 8, 0), Err(STATUS_INVALID_PARAMETER)));
    assert_eq!(bench.copy(u64::MAX - 3, 0x1000, 8, 0), Err(STATUS_INVALID_PARAMETER));
    assert_eq!(bench.copy(0x1000, 0x2000, 0, 0), Err(STATUS_INVALID_PARAMETER));
    assert!(bench.engine.calls().is_empty());
}

#[test]
fn a_copy_longer_than_a_descriptor_is_split() {
    let bench = Bench::new(Version::V2_1, 1);
    bench.copy(0x4000_0000, 0x8000_0000, (1 << 20) * 2 + 5, 0).expect("room");
    bench.engine.run();
    let sizes: Vec<u64> =
        bench.engine.inner.borrow().ran.iter().map(|words| words[0] & 0xFFFF_FFFF).collect();
    proves!(crate: R69; assert_eq!(sizes, [1 << 20, 1 << 20, 5]));
}

#[test]
fn append_to_an_idle_channel_is_an_append() {
    let bench = Bench::new(Version::V2_1, 1);
    bench.null(0).expect("room");
    bench.engine.run();
    bench.poll();
    assert_eq!(bench.with(|channel| channel.state()), ChannelState::Idle);
    bench.null(0).expect("room");
    assert!(matches!(bench.engine.calls()[..], [Call::Start { .. }, Call::Append { .. }]));
    assert_eq!(bench.engine.run(), 1);
}

#[test]
fn a_foreign_word_completes_nothing_and_is_reported() {
    for word in [u64::MAX, 0xDEAD_0000_0001, 0x7777_7000_0000 | 1] {
        let bench = Bench::new(Version::V2_1, 2);
        bench.null(0).expect("room");
        bench.word.store(word, Ordering::Relaxed);
        let seen = bench.poll();
        assert_eq!(seen.foreign, Some(word));
        assert!(bench.told().is_empty());
        assert_eq!(bench.with(|channel| channel.state()), ChannelState::Stopping);
        assert_eq!(bench.null(0), Err(STATUS_INVALID_DEVICE_STATE));
        assert_eq!(abort(&bench), Ok(STATUS_SUCCESS));
        assert_eq!(bench.told().len(), 1);
        bench.null(0).expect("an aborted channel can be started");
        bench.engine.run();
        bench.poll();
        assert_eq!(bench.told().len(), 2);
    }
}

#[test]
fn a_stale_address_completes_nothing_and_is_no_error() {
    let bench = Bench::new(Version::V2_1, 1);
    bench.null(0).expect("room");
    bench.engine.run();
    bench.poll();
    bench.null(0).expect("room");
    let first = bench.with(|channel| channel.ring().address(0)).expect("a slot");
    let seen = bench.report(first);
    assert_eq!((seen.foreign, seen.finished), (None, 0));
    assert_eq!(bench.told().len(), 1);
}

#[test]
fn an_armed_words_address_is_ignored() {
    let bench = Bench::new(Version::V2_1, 1);
    bench.null(0).expect("room");
    let first = bench.with(|channel| channel.ring().address(0)).expect("a slot");
    bench.word.store(completion::word(first, TransferStatus::Armed), Ordering::Relaxed);
    bench.poll();
    proves!(crate: R149, R151; assert!(bench.told().is_empty()));
}

#[test]
fn a_report_ahead_of_the_word_waits_for_the_word() {
    let bench = Bench::new(Version::V2_1, 1);
    bench.with(|channel| channel.set_limit(&bench.engine, 4)).expect("a limit");
    for _ in 0..4 {
        bench.null(0).expect("room");
    }
    bench.engine.step();
    bench.engine.step();
    let last = bench.engine.inner.borrow().last;
    proves!(crate: R205; assert_eq!(bench.report(last).foreign, None));
    assert!(bench.told().is_empty());
    bench.engine.run();
    bench.report(bench.engine.inner.borrow().last);
    proves!(crate: R205, R209; assert_eq!(bench.told().len(), 4));
}

/// Posts `count` NULL transfers as one batch and has the engine do them.
fn whole_batch(bench: &Bench, count: u32) {
    bench.with(|channel| channel.set_limit(&bench.engine, count)).expect("a limit");
    for _ in 0..count {
        bench.null(0).expect("room");
    }
    assert_eq!(bench.engine.run(), count as usize);
    bench.poll();
}

#[test]
fn a_delayed_report_of_an_earlier_lap_completes_nothing() {
    let bench = Bench::new(Version::V2_1, 1);
    whole_batch(&bench, 8);
    let old = bench.with(|channel| channel.ring().address(5)).expect("a slot");
    whole_batch(&bench, 56);
    // Position 64 + 5 lies in the same slot, is posted and not done.
    bench.with(|channel| channel.set_limit(&bench.engine, 60)).expect("a limit");
    for _ in 0..60 {
        bench.null(0).expect("room");
    }
    let told = bench.told().len();
    let seen = bench.report(old);
    proves!(crate: R209, R259; assert_eq!((seen.finished, seen.foreign), (0, None)));
    assert_eq!(bench.told().len(), told);
}

#[test]
fn what_a_suspension_tells_ahead_of_the_word_waits_for_the_word() {
    let bench = Bench::new(Version::V2_1, 1);
    whole_batch(&bench, 2);
    let old_word = bench.word.load(Ordering::Relaxed);
    bench.with(|channel| channel.set_limit(&bench.engine, 40)).expect("a limit");
    for _ in 0..40 {
        bench.null(0).expect("room");
    }
    // This provider tells how far it is, and does not write the word.
    bench.with(|channel| channel.begin_control(Control::Suspend)).expect("running");
    let told_by_call = bench.with(|channel| channel.ring().address(30)).map(netdma_abi::PhysicalAddress);
    bench.with(|channel| channel.end_control(&bench.engine, ControlOutcome::Done(told_by_call)));
    bench.poll();
    assert_eq!(bench.told().len(), 2);
    bench.with(|channel| channel.begin_control(Control::Resume)).expect("suspended");
    bench.with(|channel| channel.end_control(&bench.engine, ControlOutcome::Done(None)));
    bench.with(|channel| channel.set_limit(&bench.engine, 1)).expect("a limit");
    while bench.null(0).is_ok() {}
    assert_eq!(bench.word.load(Ordering::Relaxed), old_word);
    let seen = bench.poll();
    proves!(crate: R209, R259; assert_eq!((seen.finished, bench.told().len()), (0, 2)));
    bench.engine.run();
    bench.poll();
    proves!(crate: R209; assert_eq!(bench.told().len(), 2 + 62));
}

#[test]
fn an_engine_error_fails_what_is_in_flight_and_the_next_post_is_a_start() {
    let bench = Bench::new(Version::V2_1, 1);
    let cookies: Vec<u64> = (0..3).map(|_| bench.null(0).expect("room")).collect();
    bench.engine.step();
    bench.engine.halt();
    let seen = bench.report(0);
    proves!(crate: R208, R211; assert_eq!(seen.halted, Some(2)));
    proves!(crate: R211; assert_eq!(bench.told(), [
        (cookies[0], STATUS_SUCCESS),
        (cookies[1], STATUS_IO_DEVICE_ERROR),
        (cookies[2], STATUS_IO_DEVICE_ERROR),
    ]));
    assert_eq!(bench.report(0).halted, None, "a known halt is not found again");
    bench.null(0).expect("room");
    proves!(crate: R137; assert!(matches!(bench.engine.calls().last(), Some(Call::Start { count: 1, .. }))));
    bench.engine.run();
    bench.poll();
    assert_eq!(bench.told().len(), 4);
}

#[test]
fn an_abort_ends_everything_accepted_and_the_next_post_is_a_start() {
    let bench = Bench::new(Version::V2_1, 1);
    bench.with(|channel| channel.set_limit(&bench.engine, 2)).expect("a limit");
    for _ in 0..3 {
        bench.null(0).expect("room");
    }
    bench.engine.step();
    assert_eq!(abort(&bench), Ok(STATUS_SUCCESS));
    let statuses: Vec<NtStatus> = bench.told().iter().map(|(_, status)| *status).collect();
    assert_eq!(statuses[1..], [STATUS_REQUEST_ABORTED, STATUS_REQUEST_ABORTED]);
    assert_eq!(bench.with(|channel| channel.state()), ChannelState::Halted);
    assert_eq!(bench.with(|channel| channel.statistics().halts), 0, "our own abort is no halt");
    bench.with(|channel| channel.set_limit(&bench.engine, 1)).expect("a limit");
    bench.null(0).expect("room");
    proves!(crate: R137; assert!(matches!(bench.engine.calls().last(), Some(Call::Start { .. }))));
}

#[test]
fn an_abort_that_does_not_end_in_time_reports_nothing_until_the_word_says_halted() {
    let bench = Bench::new(Version::V2_1, 1);
    bench.null(0).expect("room");
    bench.engine.fail_next("abort", &[STATUS_UNSUCCESSFUL]);
    assert_eq!(abort(&bench), Ok(STATUS_UNSUCCESSFUL));
    assert!(bench.told().is_empty());
    assert_eq!(bench.with(|channel| channel.state()), ChannelState::Stopping);
    assert_eq!(bench.null(0), Err(STATUS_INVALID_DEVICE_STATE));
    bench.engine.halt();
    bench.report(0);
    assert_eq!(bench.told()[0].1, STATUS_REQUEST_ABORTED);
    assert_eq!(bench.with(|channel| channel.state()), ChannelState::Halted);
}

#[test]
fn an_absent_entry_point_is_never_called() {
    let mut bench = Bench::new(Version::V2_1, 1);
    bench.engine.absent = vec!["abort", "suspend", "resume", "reset"];
    bench.null(0).expect("room");
    proves!(crate: R29; assert_eq!(abort(&bench), Ok(STATUS_NOT_SUPPORTED)));
    assert_eq!(suspend(&bench), Ok(STATUS_NOT_SUPPORTED));
    assert_eq!(bench.engine.calls().len(), 1);
    bench.engine.run();
    bench.poll();
    assert_eq!(bench.told().len(), 1, "the channel goes on");
}

#[test]
fn a_suspended_channel_accepts_and_posts_after_resume() {
    let bench = Bench::new(Version::V2_1, 1);
    bench.null(0).expect("room");
    bench.null(0).expect("room");
    bench.engine.step();
    assert_eq!(suspend(&bench), Ok(STATUS_SUCCESS));
    bench.null(0).expect("room");
    let appends = bench.engine.calls().len();
    bench.poll();
    assert_eq!(bench.told().len(), 1);
    proves!(crate: R179; assert_eq!(suspend(&bench), Err(STATUS_INVALID_DEVICE_STATE)));
    assert_eq!(resume(&bench), Ok(STATUS_SUCCESS));
    assert_eq!(bench.engine.calls().len(), appends + 2, "resume, then the append that was kept back");
    bench.engine.run();
    bench.poll();
    assert_eq!(bench.told().len(), 3);
    proves!(crate: R179; assert_eq!(resume(&bench), Err(STATUS_INVALID_DEVICE_STATE)));
}

#[test]
fn suspending_a_channel_that_was_never_started_is_refused() {
    let bench = Bench::new(Version::V2_1, 1);
    assert_eq!(suspend(&bench), Err(STATUS_INVALID_DEVICE_STATE));
    assert!(bench.engine.calls().is_empty());
}

#[test]
fn after_a_failed_append_the_engine_finishes_and_is_started_anew() {
    let bench = Bench::new(Version::V2_1, 1);
    bench.null(0).expect("room");
    bench.engine.fail_next("append", &[STATUS_UNSUCCESSFUL]);
    let second = bench.null(0).expect("accepted all the same");
    assert_eq!(bench.with(|channel| channel.ring().outstanding()), 1);
    bench.engine.run();
    bench.poll();
    proves!(crate: R139; assert!(matches!(
        bench.engine.calls()[..],
        [Call::Start { .. }, Call::Append { .. }, Call::Start { count: 1, .. }]
    )));
    bench.engine.run();
    bench.poll();
    proves!(crate: R276; assert_eq!(bench.told()[1], (second, STATUS_SUCCESS)));
}

#[test]
fn two_failed_starts_are_answered_by_a_reset() {
    let bench = Bench::new(Version::V2_1, 1);
    bench.engine.fail_next("start", &[STATUS_UNSUCCESSFUL, STATUS_INSUFFICIENT_RESOURCES]);
    bench.null(0).expect("accepted");
    assert!(matches!(
        bench.engine.calls()[..],
        [Call::Start { .. }, Call::Start { .. }, Call::Reset, Call::Start { .. }]
    ));
    bench.engine.run();
    bench.poll();
    proves!(crate: R276; assert_eq!(bench.told().len(), 1));
}

#[test]
fn a_provider_that_never_starts_costs_each_request_exactly_one_failure() {
    let mut bench = Bench::new(Version::V2_1, 1);
    bench.engine.absent = vec!["reset"];
    bench.engine.fail_next("start", &[STATUS_UNSUCCESSFUL; 8]);
    let cookie = bench.null(0).expect("accepted");
    bench.poll();
    bench.poll();
    proves!(crate: R276; assert_eq!(bench.told(), [(cookie, STATUS_IO_DEVICE_ERROR)]));
}

#[test]
fn after_a_power_cycle_a_silent_null_start_rearms_the_channel() {
    let bench = Bench::new(Version::V2_1, 1);
    bench.null(0).expect("room");
    bench.engine.run();
    bench.poll();
    bench.with(|channel| channel.close());
    proves!(crate: R220; assert_eq!(bench.null(0), Err(STATUS_DEVICE_NOT_READY)));
    bench.with(|channel| {
        channel.lose_context();
        channel.rearm(&bench.engine);
        channel.open();
    });
    let calls = bench.engine.calls();
    proves!(crate: R172, R221, R222, R277; assert!(matches!(calls[1], Call::Start { count: 1, .. })));
    bench.engine.run();
    bench.poll();
    assert_eq!(bench.told().len(), 1, "no client hears of the interface's own descriptor");
    bench.null(0).expect("room");
    assert!(matches!(bench.engine.calls().last(), Some(Call::Append { .. })));
}

#[test]
fn below_2_0_lists_end_at_zero_and_an_append_links_the_old_tail_first() {
    let bench = Bench::new(Version::V1_1, 1);
    bench.null(0).expect("room");
    let tail = |position| bench.with(|channel| channel.ring().slot(position).map(|slot| slot.words()[3]));
    assert_eq!(tail(0), Some(0));
    assert_eq!(bench.engine.run(), 1);
    bench.null(0).expect("room");
    proves!(crate: R128; assert_eq!(tail(0), bench.with(|channel| channel.ring().address(1))));
    assert_eq!(tail(1), Some(0));
    assert_eq!(bench.engine.run(), 1, "the engine reads the tail again");
    bench.poll();
    proves!(crate: R19; assert_eq!(bench.told().len(), 2));
}

#[test]
fn below_2_0_a_failed_append_leaves_the_tail_unlinked() {
    let bench = Bench::new(Version::V1_1, 1);
    bench.null(0).expect("room");
    bench.engine.fail_next("append", &[STATUS_UNSUCCESSFUL]);
    bench.null(0).expect("accepted");
    let tail = bench.with(|channel| channel.ring().slot(0).map(|slot| slot.words()[3]));
    proves!(crate: R139; assert_eq!(tail, Some(0)));
    bench.engine.run();
    bench.poll();
    bench.engine.run();
    bench.poll();
    assert_eq!(bench.told().len(), 2);
}

#[test]
fn below_2_0_a_ring_goes_round_many_times() {
    let bench = Bench::new(Version::V1_0, 1);
    for round in 0..500 {
        bench.null(round).expect("room");
        bench.engine.run();
        bench.poll();
    }
    assert_eq!(bench.told().len(), 500);
}

#[test]
fn a_1_0_provider_may_ask_for_a_fresh_start() {
    let bench = Bench::new(Version::V1_0, 1);
    bench.null(0).expect("room");
    bench.engine.run();
    bench.poll();
    bench.with(|channel| channel.start_anew(&bench.engine));
    proves!(crate: R282; assert!(matches!(bench.engine.calls()[1], Call::Start { count: 1, .. })));
    bench.engine.run();
    bench.poll();
    assert_eq!(bench.told().len(), 1);

    bench.null(0).expect("room");
    bench.null(0).expect("room");
    bench.engine.step();
    bench.poll();
    bench.with(|channel| channel.start_anew(&bench.engine));
    let first_unfinished = bench.with(|channel| channel.ring().address(channel.ring().done()));
    proves!(crate: R282; assert!(matches!(bench.engine.calls().last(),
        Some(Call::Start { address, count: 1, .. }) if Some(*address) == first_unfinished)));
}

#[test]
fn from_1_1_on_nobody_is_started_anew_unasked() {
    let bench = Bench::new(Version::V1_1, 1);
    bench.null(0).expect("room");
    bench.engine.run();
    bench.poll();
    bench.with(|channel| channel.start_anew(&bench.engine));
    assert_eq!(bench.engine.calls().len(), 1);
}

#[test]
fn a_callback_that_polls_does_not_overtake_the_delivery_it_runs_in() {
    let bench = Bench::new(Version::V2_1, 1);
    bench.with(|channel| channel.set_limit(&bench.engine, 20)).expect("a limit");
    for _ in 0..20 {
        bench.null(0).expect("room");
    }
    bench.engine.run();
    let batch = bench.with(|channel| {
        channel.observe(0);
        channel.begin_delivery()
    });
    let batch = batch.expect("something ended");
    let mut order = Vec::new();
    netdma_core::delivery::deliver(&bench, batch, |completed| {
        order.push(completed.cookie);
        assert!(bench.with(|channel| channel.begin_delivery()).is_none());
    });
    assert_eq!(order, (1..=20).collect::<Vec<u64>>());
    assert!(bench.with(|channel| channel.is_quiet()));
}

#[test]
fn a_polled_channel_asks_for_no_interrupt() {
    use netdma_core::channel::{Channel, Setup};
    let memory = support::HostMemory::scattered(1);
    let engine = support::Engine::over(&memory, Version::V2_1);
    let setup = Setup {
        version: Version::V2_1,
        context: netdma_core::provider::ChannelContext(0),
        capabilities: support::capabilities(Version::V2_1),
        polled: true,
        cache: None,
    };
    let mut channel = Channel::new(memory, setup).expect("a ring");
    channel.null(&engine, 0, 0).expect("room");
    engine.run();
    proves!(crate: R156; assert_eq!(engine.inner.borrow().interrupts, 0));
    assert_eq!(channel.observe(0).finished, 1);
}
