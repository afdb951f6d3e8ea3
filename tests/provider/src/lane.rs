//! One channel: its owner, its lock, its worker, its report.
//!
//! Entry points come at DISPATCH_LEVEL and do not copy: they change the list and ask the worker, which processes descriptors one
//! at a time under the lock. Reports go to the interface from a DPC on the channel's processor, with no lock held: that is how
//! an engine without interrupts reports (Q21).

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use netdma_abi::ChannelHandle;
use netdmasoft_control::{Channel, mode};
use nt::dpc::Dpc;
use nt::irql::{AtMostDispatch, Dispatch, Passive};
use nt::pool::Arc;
use nt::processor::Number;
use nt::spin_lock::SpinLock;
use nt::worker::Worker;
use nt::{Result, Status};

use crate::TAG;
use crate::engine::Behaviour;
use crate::netdma;
use crate::work::{Step, Work};

/// The channel context.
pub struct Lane {
    pub core: Arc<Core>,
    worker: Worker<Arc<Core>>,
}

/// What the worker needs.
pub struct Core {
    pub number: u32,
    pub behaviour: Arc<Behaviour>,
    state: SpinLock<State>,
    report: Arc<Report>,
    dpc: Dpc<Arc<Report>>,
    /// What a suspension points to, where it is to point.
    suspended_at: AtomicU64,
}

struct State {
    owner: Option<Owner>,
    work: Work,
}

/// Who has the channel.
#[derive(Clone, Copy)]
struct Owner {
    word: &'static AtomicU64,
    processor: u32,
}

/// What the DPC tells. The handle is 0 while nobody has the channel.
#[derive(Default)]
struct Report {
    handle: AtomicUsize,
    last: AtomicU64,
    count: AtomicU64,
}

impl Report {
    fn tell(report: &Arc<Self>, irql: &mut Dispatch) {
        let handle = ChannelHandle(report.handle.load(Ordering::Acquire));
        if handle != ChannelHandle(0) {
            report.count.fetch_add(1, Ordering::Relaxed);
            netdma::interrupt_dpc(handle, report.last.load(Ordering::Acquire), irql);
        }
    }
}

impl Lane {
    /// A free channel.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub fn new(number: u32, behaviour: Arc<Behaviour>, irql: &Passive) -> Result<Self> {
        let report = Arc::new(TAG, Report::default())?;
        let core = Core {
            number,
            behaviour,
            state: SpinLock::new(State { owner: None, work: Work::default() }),
            dpc: Dpc::new(TAG, report.clone(), Report::tell)?,
            report,
            suspended_at: AtomicU64::new(0),
        };
        let core = Arc::new(TAG, core)?;
        Ok(Self { worker: Worker::new(TAG, core.clone(), Core::run, irql)?, core })
    }

    /// Takes the channel, if it is free.
    pub fn allocate(
        &self,
        handle: ChannelHandle,
        word: &'static AtomicU64,
        processor: u32,
        irql: &mut impl AtMostDispatch,
    ) -> bool {
        let Ok(number) = Number::from_index(processor) else { return false };
        let core = &self.core;
        let mut state = core.state.lock(irql);
        if state.owner.is_some() || core.dpc.set_target(number).is_err() {
            return false;
        }
        *state = State { owner: Some(Owner { word, processor }), work: Work::new(core.behaviour.setup()) };
        core.report.count.store(0, Ordering::Relaxed);
        core.report.handle.store(handle.0, Ordering::Release);
        true
    }

    /// Gives it back. At PASSIVE_LEVEL the handle is used by nobody when this returns.
    pub fn free(&self, irql: &mut impl AtMostDispatch) {
        self.core.report.handle.store(0, Ordering::Release);
        self.core.state.lock(irql).owner = None;
        if let Some(passive) = irql.as_passive() {
            nt::dpc::flush(passive);
        }
    }

    /// A change of the list under the lock, then the worker's turn.
    ///
    /// # Errors
    /// Those of `change`; INVALID_DEVICE_STATE when nobody has the channel.
    pub fn change<R>(
        &self,
        irql: &mut impl AtMostDispatch,
        change: impl FnOnce(&mut Work, &AtomicU64, &Dispatch) -> Result<R>,
    ) -> Result<R> {
        let mut state = self.core.state.lock(irql);
        let (State { owner, work }, dispatch) = state.parts();
        let word = owner.ok_or(Status::INVALID_DEVICE_STATE)?.word;
        let answer = change(work, word, dispatch)?;
        drop(state);
        if self.core.behaviour.setup().mode & mode::MANUAL == 0 {
            self.worker.ask(irql);
        }
        Ok(answer)
    }
}

impl Core {
    /// The worker's routine: processes until there is nothing to do.
    fn run(core: &Arc<Self>, irql: &mut Passive) {
        let mut interrupt = false;
        loop {
            match core.step(irql) {
                Step::Done { interrupt: wanted } => interrupt |= wanted,
                Step::Nothing => break,
                Step::Failed => return core.report(Some(0)),
            }
        }
        if interrupt {
            core.report(None);
        }
    }

    /// Processes one descriptor.
    pub fn step(&self, irql: &mut Passive) -> Step {
        let mut state = self.state.lock(irql);
        let (State { owner, work }, dispatch) = state.parts();
        let Some(owner) = owner else { return Step::Nothing };
        let step = work.step(owner.word, dispatch);
        self.report.last.store(work.last, Ordering::Release);
        step
    }

    /// Queues the report of the last descriptor, or of `other`.
    pub fn report(&self, other: Option<u64>) {
        if let Some(other) = other {
            self.report.last.store(other, Ordering::Release);
        }
        // Queued already: that call will see what is new.
        let _queued = self.dpc.queue();
    }

    /// The engine fails.
    pub fn halt(&self, irql: &mut Passive) {
        let mut state = self.state.lock(irql);
        let (State { owner, work }, _) = state.parts();
        if let Some(owner) = owner {
            work.halt(owner.word);
        }
    }

    /// Keeps the address at which the channel was suspended, and says where.
    pub fn last_suspended(&self, last: u64) -> *mut u64 {
        self.suspended_at.store(last, Ordering::Release);
        self.suspended_at.as_ptr()
    }

    /// The channel for a test.
    pub fn look(&self, irql: &mut Passive) -> Channel {
        let mut state = self.state.lock(irql);
        let (State { owner, work }, _) = state.parts();
        Channel {
            allocated: owner.is_some(),
            started: work.started,
            suspended: work.suspended,
            processor: owner.map_or(0, |owner| owner.processor),
            remaining: work.remaining,
            processed: work.processed,
            reports: self.report.count.load(Ordering::Relaxed),
            words: work.words,
            flags: work.flags,
            target: work.target.map_or(u64::MAX, u64::from),
            data_hints: work.data_hints,
            word_hints: work.word_hints,
        }
    }
}
