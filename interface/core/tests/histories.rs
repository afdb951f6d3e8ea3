//! Histories of a channel: every one up to a depth, and long random ones. Whatever clients, engine and provider do, each
//! accepted request is told exactly once, in order, with success only if the engine did it; nothing hangs.

mod support;

use std::collections::{HashMap, HashSet};

use netdma_abi::status::*;
use netdma_abi::{NtStatus, Version};
use netdma_core::channel::{ChannelState, Control, ControlOutcome};
use netdma_core::provider::EntryPoints;
use proof::proves;
use proptest::prelude::*;
use support::Bench;

/// One step of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The client posts a NULL transfer.
    Null,
    /// The client posts a copy.
    Copy,
    /// The client flushes.
    Flush,
    /// The engine does one descriptor.
    Engine,
    /// The client polls.
    Poll,
    /// The provider's DPC reports the last descriptor done.
    Dpc,
    /// The provider's DPC reports zero.
    DpcZero,
    Abort,
    Reset,
    Suspend,
    Resume,
    /// The engine halts by itself.
    Halt,
    /// The next append fails.
    FailAppend,
    /// The next start fails.
    FailStart,
    /// The next abort does not end in time.
    FailAbort,
    /// The device loses and regains power with the channel quiet.
    PowerCycle,
}

struct History {
    bench: Bench,
    /// Cookies in the order of acceptance.
    accepted: Vec<u64>,
    /// Where each copy's bytes go, by cookie: destination and what must arrive.
    copies: HashMap<u64, (u64, Vec<u8>)>,
    next_buffer: u64,
    /// Of what was told, so many were looked at.
    checked: usize,
}

fn outcome(status: Option<NtStatus>) -> ControlOutcome {
    match status {
        None => ControlOutcome::Absent,
        Some(STATUS_SUCCESS) => ControlOutcome::Done(None),
        Some(status) => ControlOutcome::Failed(status),
    }
}

impl History {
    fn new(version: Version, limit: u32) -> Self {
        let bench = Bench::new(version, 1);
        bench.with(|channel| channel.set_limit(&bench.engine, limit)).expect("a limit");
        Self { bench, accepted: Vec::new(), copies: HashMap::new(), next_buffer: 0, checked: 0 }
    }

    fn control(&self, control: Control) {
        let bench = &self.bench;
        if bench.with(|channel| channel.begin_control(control)).is_err() {
            return;
        }
        let context = bench.with(|channel| channel.context());
        let answered = match control {
            Control::Suspend => match bench.engine.suspend(context) {
                None => ControlOutcome::Absent,
                Some(Ok(last)) => ControlOutcome::Done(last),
                Some(Err(status)) => ControlOutcome::Failed(status),
            },
            Control::Resume => outcome(bench.engine.resume(context)),
            Control::Abort(_) => outcome(bench.engine.abort(context)),
            Control::Reset(_) => outcome(bench.engine.reset(context)),
        };
        bench.with(|channel| channel.end_control(&bench.engine, answered));
        bench.poll();
    }

    fn take(&mut self, step: Step) {
        let bench = &self.bench;
        match step {
            Step::Null => self.accepted.extend(bench.null(1).ok()),
            Step::Copy => {
                let (from, to) =
                    (0x10_0000_0000 + self.next_buffer * 64, 0x20_0000_0000 + self.next_buffer * 64);
                let data: Vec<u8> = (0..48).map(|n| (self.next_buffer * 7 + n) as u8 | 1).collect();
                self.next_buffer += 1;
                bench.engine.poke(from, &data);
                if let Ok(cookie) = bench.copy(to, from, 48, 1) {
                    self.accepted.push(cookie);
                    self.copies.insert(cookie, (to, data));
                }
            }
            Step::Flush => bench.with(|channel| channel.post(&bench.engine)),
            Step::Engine => drop(bench.engine.step()),
            Step::Poll => drop(bench.poll()),
            Step::Dpc => {
                let last = bench.engine.inner.borrow().last;
                bench.report(last);
            }
            Step::DpcZero => {
                bench.report(0);
                bench.with(|channel| channel.start_anew(&bench.engine));
            }
            Step::Abort => self.control(Control::Abort(STATUS_REQUEST_ABORTED)),
            Step::Reset => self.control(Control::Reset(STATUS_REQUEST_ABORTED)),
            Step::Suspend => self.control(Control::Suspend),
            Step::Resume => self.control(Control::Resume),
            Step::Halt => bench.engine.halt(),
            Step::FailAppend => bench.engine.fail_next("append", &[STATUS_UNSUCCESSFUL]),
            Step::FailStart => bench.engine.fail_next("start", &[STATUS_UNSUCCESSFUL]),
            Step::FailAbort => bench.engine.fail_next("abort", &[STATUS_UNSUCCESSFUL]),
            Step::PowerCycle => {
                if bench.with(|channel| channel.is_quiet() && channel.state() != ChannelState::Suspended) {
                    bench.with(|channel| {
                        channel.lose_context();
                        channel.rearm(&bench.engine);
                    });
                }
            }
        }
        self.check();
    }

    /// What must hold at any time.
    fn check(&mut self) {
        let told = self.bench.told();
        let cookies: Vec<u64> = told.iter().map(|(cookie, _)| *cookie).collect();
        assert_eq!(cookies, self.accepted[..cookies.len()], "told in the order of acceptance, each once");
        let ring_size = self.bench.with(|channel| channel.ring().size());
        assert!(self.bench.with(|channel| channel.ring().outstanding()) <= ring_size - 2);
        for (cookie, status) in &told[self.checked..] {
            if *status != STATUS_SUCCESS {
                continue;
            }
            let address = self.bench.with(|channel| channel.ring().address(cookie - 1)).expect("a slot");
            assert!(self.bench.engine.inner.borrow().ran_at.contains(&address), "success without the engine");
            if let Some((to, data)) = self.copies.get(cookie) {
                assert_eq!(&self.bench.engine.peek(*to, data.len()), data, "success without the data");
            }
        }
        self.checked = told.len();
    }

    /// What a drain does: it must end, with everything told.
    fn finish(&mut self) {
        for _ in 0..200 {
            if self.bench.with(|channel| channel.state()) == ChannelState::Suspended {
                self.take(Step::Resume);
            }
            self.take(Step::Flush);
            self.bench.engine.run();
            self.take(Step::Poll);
            if self.bench.with(|channel| channel.state()) == ChannelState::Stopping {
                self.take(Step::Reset);
            }
            if self.bench.with(|channel| channel.is_quiet()) {
                assert_eq!(self.bench.told().len(), self.accepted.len());
                return;
            }
        }
        panic!("the channel hangs in {:?}", self.bench.with(|channel| channel.state()));
    }
}

/// Every history of `depth` steps over `steps`.
fn every_history(version: Version, steps: &[Step], depth: u32) -> usize {
    let count = steps.len().pow(depth);
    for number in 0..count {
        let mut history = History::new(version, 2);
        let mut rest = number;
        for _ in 0..depth {
            history.take(steps[rest % steps.len()]);
            rest /= steps.len();
        }
        history.finish();
    }
    count
}

const DEPTH: u32 = 8;

#[test]
fn every_history_of_posts_flushes_polls_and_aborts_ends_well() {
    for version in [Version::V1_0, Version::V2_1] {
        let steps = [Step::Null, Step::Flush, Step::Engine, Step::Abort];
        proves!(crate: R195, R209, R276; assert_eq!(every_history(version, &steps, DEPTH), 65_536));
    }
}

#[test]
fn every_history_of_suspensions_ends_well() {
    for version in [Version::V1_0, Version::V2_1] {
        let steps = [Step::Null, Step::Engine, Step::Suspend, Step::Resume];
        proves!(crate: R179, R180, R209; assert_eq!(every_history(version, &steps, DEPTH), 65_536));
    }
}

#[test]
fn every_history_of_engine_errors_ends_well() {
    for version in [Version::V1_0, Version::V2_1] {
        let steps = [Step::Null, Step::Engine, Step::Halt, Step::Dpc];
        proves!(crate: R209, R211; assert_eq!(every_history(version, &steps, DEPTH), 65_536));
    }
}

#[test]
fn every_history_of_failing_provider_calls_ends_well() {
    for version in [Version::V1_0, Version::V2_1] {
        let steps = [Step::Null, Step::Engine, Step::FailAppend, Step::FailStart];
        proves!(crate: R139, R276; assert_eq!(every_history(version, &steps, DEPTH), 65_536));
    }
}

#[test]
fn every_history_of_everything_ends_well() {
    let steps = [
        Step::Null,
        Step::Copy,
        Step::Flush,
        Step::Engine,
        Step::Poll,
        Step::Dpc,
        Step::DpcZero,
        Step::Abort,
        Step::Reset,
        Step::Suspend,
        Step::Resume,
        Step::Halt,
        Step::FailAppend,
        Step::FailStart,
        Step::FailAbort,
        Step::PowerCycle,
    ];
    assert_eq!(steps.iter().map(|step| format!("{step:?}")).collect::<HashSet<_>>().len(), 16);
    for version in [Version::V1_0, Version::V2_1] {
        proves!(crate: R209, R276; assert_eq!(every_history(version, &steps, 4), 65_536));
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        20 => Just(Step::Null),
        20 => Just(Step::Copy),
        6 => Just(Step::Flush),
        30 => Just(Step::Engine),
        8 => Just(Step::Poll),
        8 => Just(Step::Dpc),
        1 => Just(Step::DpcZero),
        1 => Just(Step::Abort),
        1 => Just(Step::Reset),
        2 => Just(Step::Suspend),
        3 => Just(Step::Resume),
        1 => Just(Step::Halt),
        1 => Just(Step::FailAppend),
        1 => Just(Step::FailStart),
        1 => Just(Step::FailAbort),
        1 => Just(Step::PowerCycle),
    ];
    prop::collection::vec(step, 0..200)
}

/// What the random histories found first: reports ahead of the word let an old word name the next lap.
#[test]
fn an_old_word_behind_reports_is_not_taken_for_the_next_lap() {
    let nulls = |count| std::iter::repeat_n(Step::Null, count);
    let engine = |count| std::iter::repeat_n(Step::Engine, count);
    let mut history = History::new(Version::V1_0, 31);
    let begin = nulls(31).chain(engine(31)).chain([Step::Poll]);
    let overtaken = nulls(31).chain(engine(30)).chain([Step::Dpc]);
    let lap = nulls(30).chain([Step::Copy]).chain(nulls(4)).chain([Step::Flush, Step::Poll]);
    for step in begin.chain(overtaken).chain(lap) {
        history.take(step);
    }
    history.finish();
}

proptest! {
    #![proptest_config(support::cases(10_000))]

    /// Long histories, several times round the ring.
    #[test]
    fn every_random_history_ends_well(
        version in prop::sample::select(vec![Version::V1_0, Version::V1_1, Version::V2_0, Version::V2_1]),
        limit in 1u32..70,
        steps in steps(),
    ) {
        let mut history = History::new(version, limit);
        for step in steps {
            history.take(step);
        }
        history.finish();
    }
}
