//! One channel with its owner, its lock and its DPC.
//!
//! | What | Protected by |
//! |---|---|
//! | channel, registers, owner | the lane's spin lock; nothing is called with it held but ioat-core |
//! | owner as the interrupt service routine sees it | [`Lent`]: the routine visits it without a lock, and its end waits for the visits |
//! | a procedure at PASSIVE_LEVEL | the channel is lent to it; whoever comes meanwhile is refused |

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use ioat_core::channel::CompletionWord;
use ioat_core::self_test::{self, Scratch, SelfTestError};
use ioat_core::{BringUpError, Channel, Clock, Hardware, Outcome, Patience, Refusal, Report, State, Trouble};
use ioat_regs::{ChanErr, ChanSts};
use netdma_abi::ChannelHandle;
use netdma_events::{Event, Hex, Sink};
use nt::dpc::Dpc;
use nt::irql::{AtMostDispatch, Device, Dispatch, Passive};
use nt::lent::Lent;
use nt::pool::Arc;
use nt::processor::Number;
use nt::spin_lock::SpinLock;
use nt::thread;
use nt::time::{self, Duration};
use nt::timer::Timer;
use nt::worker::Worker;
use nt::{Result, Status};

use crate::window::{Sleep, Stall, Window};
use crate::{TAG, TRACE, netdma, report};

/// One channel: what netdma.sys is given as channel context.
#[derive(Debug)]
pub struct Lane {
    core: Arc<Core>,
    dpc: Arc<Deferred>,
    worker: Worker<(Arc<Core>, Arc<Deferred>)>,
    watchdog: Timer<(Arc<Core>, Arc<Deferred>)>,
}

/// A lane's DPC: at DISPATCH_LEVEL, on the processor that the interface names.
type Deferred = Dpc<Arc<Core>>;

/// What the lane shares with its DPC and its worker.
#[derive(Debug)]
struct Core {
    number: u8,
    /// Where the function is, for events.
    location: Hex,
    state: SpinLock<Inner>,
    /// The owner, for the interrupt service routine.
    published: Lent<Owner>,
    /// Processor for the message, as the interface asked ([`NOWHERE`]: it did not). System-wide index.
    wished: AtomicU32,
    /// Processor at which the channel's message arrives ([`NOWHERE`]: at several, or there is none).
    message: AtomicU32,
    /// Processor that the DPC is targeted at.
    target: AtomicU32,
    /// Interrupts taken, for the self-test and the debugger.
    interrupts: AtomicU64,
    /// How many of them the DPC has seen.
    served: AtomicU64,
    /// What has happened, for reports.
    tally: Tally,
    /// The watchdog's time has come: the DPC looks for what no interrupt has told.
    watch: AtomicBool,
    /// A DPC came while the channel was lent, and could not re-arm it.
    missed: AtomicBool,
}

/// Counters for reports; they begin when the driver is given the device.
#[derive(Debug, Default)]
struct Tally {
    /// Times that completions were reported.
    completions: AtomicU64,
    /// Times that the channel stopped by itself.
    halts: AtomicU64,
    /// CHANERR of the last of them.
    last_errors: AtomicU32,
    /// Completions that only the watchdog found.
    recovered: AtomicU64,
    /// Commands that outlived their wait.
    late_stops: AtomicU64,
}

#[derive(Debug)]
struct Inner {
    channel: Option<Channel>,
    window: Option<Arc<Window>>,
    owner: Option<Owner>,
    /// Grows with each allocation and each free: a DPC that was queued for an earlier owner finds out.
    generation: u64,
    /// How often the watchdog looks, in milliseconds (H31).
    watchdog_ms: u16,
}

/// Whom a channel is allocated to.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    /// What netdma.sys calls the channel.
    pub handle: ChannelHandle,
    /// Its completion word, until [`Lane::free`] has returned.
    pub word: &'static CompletionWord,
}

/// No processor.
pub const NOWHERE: u32 = u32::MAX;

/// What a report is about.
#[derive(Debug, Clone, Copy)]
struct Visit {
    generation: u64,
    handle: ChannelHandle,
}

impl Lane {
    /// A channel that nobody owns, on a device that has not started.
    ///
    /// # Errors
    /// Memory or a thread could not be had.
    pub fn new(number: u8, location: Hex, irql: &Passive) -> Result<Self> {
        let core = Arc::new(
            TAG,
            Core {
                number,
                location,
                state: SpinLock::new(Inner {
                    channel: None,
                    window: None,
                    owner: None,
                    generation: 0,
                    watchdog_ms: 0,
                }),
                published: Lent::new(),
                wished: AtomicU32::new(NOWHERE),
                message: AtomicU32::new(NOWHERE),
                target: AtomicU32::new(NOWHERE),
                interrupts: AtomicU64::new(0),
                served: AtomicU64::new(0),
                tally: Tally::default(),
                watch: AtomicBool::new(false),
                missed: AtomicBool::new(false),
            },
        )?;
        let dpc = Arc::new(TAG, Dpc::new(TAG, core.clone(), |core, irql| core.deferred(irql))?)?;
        let worker = Worker::new(
            TAG,
            (core.clone(), dpc.clone()),
            |(core, dpc), irql| {
                core.finish_stopping(irql);
                dpc.queue();
            },
            irql,
        )?;
        let watchdog = Timer::new(TAG, (core.clone(), dpc.clone()), |(core, dpc), _irql| {
            core.watch.store(true, Ordering::Release);
            dpc.queue();
        })?;
        Ok(Self { core, dpc, worker, watchdog })
    }

    /// The processor that the interface wants the channel's message at.
    pub fn wish(&self, processor: u32) {
        self.core.wished.store(processor, Ordering::Relaxed);
    }

    /// What [`wish`](Self::wish) was told, if anything.
    pub fn wished(&self) -> Option<u32> {
        somewhere(&self.core.wished)
    }

    /// The processor at which the channel's message arrives, when it is one.
    pub fn set_message(&self, processor: Option<u32>) {
        self.core.message.store(processor.unwrap_or(NOWHERE), Ordering::Release);
    }

    /// What [`set_message`](Self::set_message) was told.
    pub fn message(&self) -> Option<u32> {
        somewhere(&self.core.message)
    }

    /// The channel's number in its function.
    pub fn number(&self) -> u8 {
        self.core.number
    }

    /// What user mode is told of the channel.
    pub fn report(&self, irql: &mut Passive) -> netdma_ioctl::engine::Channel {
        let core = &self.core;
        let state = core.state.lock(irql);
        let channel_state = state.channel.as_ref().map_or(State::Down, Channel::state);
        let allocated = state.owner.is_some();
        drop(state);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        netdma_ioctl::engine::Channel {
            number: core.number.into(),
            state: report::state(channel_state),
            allocated: allocated.into(),
            message_processor: core.message.load(Ordering::Acquire),
            report_processor: core.target.load(Ordering::Acquire),
            last_errors: core.tally.last_errors.load(Ordering::Relaxed),
            interrupts: read(&core.interrupts),
            completions: read(&core.tally.completions),
            halts: read(&core.tally.halts),
            recovered: read(&core.tally.recovered),
            late_stops: read(&core.tally.late_stops),
        }
    }

    // ---- The device's life

    /// The device has started: its registers are there. `watchdog_ms` is how often the watchdog looks, or, where nothing
    /// interrupts (`polled`), completions are looked for.
    pub fn open(
        &self,
        window: Arc<Window>,
        facts: ioat_core::Engine,
        polled: bool,
        watchdog_ms: u16,
        irql: &mut Passive,
    ) {
        // Where the message arrives is said when it is connected, if there is one this time.
        self.set_message(None);
        let mut state = self.core.state.lock(irql);
        let channel = Channel::new(facts, self.core.number);
        state.channel = Some(if polled { channel.polled() } else { channel });
        state.window = Some(window);
        state.watchdog_ms = watchdog_ms;
    }

    /// The registers go.
    pub fn close(&self, irql: &mut Passive) {
        let mut state = self.core.state.lock(irql);
        state.channel = None;
        let window = state.window.take();
        // Unmapping belongs outside the lock.
        drop(state);
        drop(window);
    }

    /// Brings the channel up in whatever state it is, an allocation included.
    ///
    /// # Errors
    /// The device has left, or does not finish a reset.
    pub fn bring_up(&self, irql: &mut Passive) -> core::result::Result<Trouble, BringUpError> {
        self.core
            .slowly(irql, |channel, hardware, _| channel.bring_up(hardware))
            .unwrap_or(Err(BringUpError::Gone))
    }

    /// Whether the channel was brought up and is this driver's.
    pub fn is_up(&self, irql: &mut Passive) -> bool {
        let state = self.core.state.lock(irql);
        state.channel.as_ref().is_some_and(|channel| channel.state() != State::Down)
    }

    /// Proves the channel by a copy, on a channel of its own over the same registers, and brings it up again. Nobody
    /// uses the channel meanwhile: it is not offered yet, or told to be powered down.
    ///
    /// # Errors
    /// The channel does not work.
    pub fn self_test(
        &self,
        scratch: &Scratch<'_>,
        interrupts: bool,
        irql: &mut Passive,
    ) -> core::result::Result<(), SelfTestError> {
        let before = self.core.interrupts.load(Ordering::Acquire);
        let interrupted = interrupts.then_some(|| self.core.interrupts.load(Ordering::Acquire) != before);
        self.core
            .slowly(irql, |channel, hardware, _| {
                let result = self_test::run(&mut channel.clone(), hardware, scratch, interrupted);
                match (result, channel.bring_up(hardware)) {
                    (Ok(()), Err(_)) => Err(SelfTestError::Refused(Refusal::Gone)),
                    (result, _) => result,
                }
            })
            .unwrap_or(Err(SelfTestError::Refused(Refusal::Stopping)))
    }

    /// Leaves the channel quiet.
    ///
    /// # Errors
    /// The device has left, or does not finish a reset.
    pub fn shut_down(&self, irql: &mut Passive) -> core::result::Result<(), BringUpError> {
        self.core.wait_until_settled(irql);
        self.core.slowly(irql, |channel, hardware, _| channel.shut_down(hardware)).unwrap_or(Ok(()))
    }

    /// The device has left: the DPC reports it to the owner.
    pub fn remove(&self, irql: &mut Passive) {
        let mut state = self.core.state.lock(irql);
        let Inner { channel: Some(channel), owner, .. } = &mut *state else { return };
        channel.remove(owner.map(|owner| owner.word));
        drop(state);
        self.dpc.queue();
    }

    // ---- The interface's calls

    /// Takes the channel for an owner. `false`: it is taken already.
    ///
    /// # Errors
    /// The channel cannot be brought to rest.
    pub fn allocate(
        &self,
        to: &Arc<Owner>,
        completion: u64,
        processor: u32,
        irql: &mut impl AtMostDispatch,
    ) -> Result<bool> {
        let number = Number::from_index(processor)?;
        let mut state = self.core.state.lock(irql);
        let Inner {
            channel: Some(channel),
            window: Some(window),
            owner: owner @ None,
            generation,
            watchdog_ms,
        } = &mut *state
        else {
            return Ok(false);
        };
        self.dpc.set_target(number)?;
        channel.attach(&window.hardware(Stall), completion).map_err(|_refusal| Status::UNSUCCESSFUL)?;
        *owner = Some(**to);
        *generation = generation.wrapping_add(1);
        let watchdog_ms = *watchdog_ms;
        self.core.target.store(processor, Ordering::Release);
        // Nothing is lent: the owner before was taken back before its place was given up.
        self.core.published.lend(to.clone());
        self.watchdog.set_periodic(watchdog_ms, state.irql());
        Ok(true)
    }

    /// Gives the channel back. Afterwards the handle is used by nobody: neither by the service routine, nor, when the
    /// caller is at PASSIVE_LEVEL, by a DPC. At DISPATCH_LEVEL a DPC on another processor may just have found the
    /// owner; netdma.sys then refuses the handle, which is stale.
    pub fn free(&self, irql: &mut impl AtMostDispatch) {
        // A stop that is still being finished has the completion word.
        if let Some(passive) = irql.as_passive() {
            self.core.wait_until_settled(passive);
        }
        self.watchdog.cancel(irql);
        // Before the channel can have another owner, whose handle would be taken back instead.
        // A service routine waits for nobody and is over within microseconds.
        self.core.published.take_back(|| time::stall(Duration::from_micros(1)));
        let mut state = self.core.state.lock(irql);
        if let Inner { channel: Some(channel), window: Some(window), .. } = &mut *state {
            channel.detach(&window.hardware(Stall));
        }
        state.owner = None;
        state.generation = state.generation.wrapping_add(1);
        drop(state);
        if let Some(passive) = irql.as_passive() {
            nt::dpc::flush(passive);
        }
    }

    /// Runs a command of the hot path under the lane's lock.
    ///
    /// # Errors
    /// UNSUCCESSFUL when the channel refuses (R123, R138).
    #[inline]
    pub fn quickly(
        &self,
        irql: &mut impl AtMostDispatch,
        command: impl FnOnce(
            &mut Channel,
            &Hardware<'_, Window, Window, Stall>,
            &CompletionWord,
        ) -> core::result::Result<Outcome, Refusal>,
    ) -> Result<Outcome> {
        let mut state = self.core.state.lock(irql);
        let Inner { channel: Some(channel), window: Some(window), owner: Some(owner), .. } = &mut *state
        else {
            return Err(Status::UNSUCCESSFUL);
        };
        let result = command(channel, &window.hardware(Stall), owner.word);
        let error = channel.take_error();
        match result {
            Ok(outcome) => {
                drop(state);
                self.core.trace_error(error);
                Ok(outcome)
            }
            Err(refusal) => {
                let unreported = channel.wants_report();
                if refusal == Refusal::Expired {
                    self.worker.ask(state.irql());
                }
                drop(state);
                self.core.trace_error(error);
                self.refused(refusal, Patience::DISPATCH);
                if unreported {
                    self.dpc.queue();
                }
                Err(Status::UNSUCCESSFUL)
            }
        }
    }

    /// Runs a control command: at PASSIVE_LEVEL without the lock and with all the time it may take, else under the
    /// lock and within 50 µs (D18).
    ///
    /// # Errors
    /// UNSUCCESSFUL when the channel refuses or does not stop (R275).
    pub fn control(&self, irql: &mut impl AtMostDispatch, command: ControlCommand) -> Result<Outcome> {
        let Some(passive) = irql.as_passive() else {
            return self.quickly(irql, |channel, hardware, word| command.run(channel, hardware, word));
        };
        let result = self
            .core
            .slowly(passive, |channel, hardware, word| match word {
                Some(word) => command.run(channel, hardware, word),
                None => Err(Refusal::NotStarted),
            })
            .unwrap_or(Err(Refusal::Stopping));
        // A DPC that came meanwhile could not re-arm the channel; and what the command found may have to be told.
        if self.core.missed.swap(false, Ordering::AcqRel) || self.core.wants_report(passive) {
            self.dpc.queue();
        }
        result.map_err(|refusal| {
            if refusal == Refusal::Expired {
                self.worker.ask(passive);
            }
            self.refused(refusal, Patience::PASSIVE);
            Status::UNSUCCESSFUL
        })
    }

    fn refused(&self, refusal: Refusal, patience: Patience) {
        if refusal == Refusal::Expired {
            self.core.tally.late_stops.fetch_add(1, Ordering::Relaxed);
            TRACE.write(Event::StopTimedOut {
                location: self.core.location,
                channel: self.core.number.into(),
                microseconds: patience.stop_us.saturating_add(patience.reset_us).into(),
            });
        }
    }

    // ---- Interrupts

    /// The channel has interrupted: tells the interface, and has the DPC run where it says (R200, R202).
    pub fn interrupted(&self, irql: &Device) {
        let core = &self.core;
        core.interrupts.fetch_add(1, Ordering::AcqRel);
        let target = core.target.load(Ordering::Acquire);
        let asked = core.published.visit(|owner| {
            let word = ChanSts(owner.word.load(Ordering::Acquire));
            let armed = word.state() == Some(ioat_regs::State::Armed);
            netdma::isr(owner.handle, if armed { 0 } else { word.address() }, target, irql)
        });
        let Some(asked) = asked else { return };
        if asked != target
            && let Ok(number) = Number::from_index(asked)
            && self.dpc.set_target(number).is_ok()
        {
            core.target.store(asked, Ordering::Release);
        }
        self.dpc.queue();
    }
}

/// The commands that may have to wait for the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlCommand {
    /// `SuspendDma`.
    Suspend,
    /// `ResumeDma`.
    Resume,
    /// `AbortDma`.
    Abort,
    /// `ResetChannel`.
    Reset,
}

impl ControlCommand {
    fn run<C: Clock>(
        self,
        channel: &mut Channel,
        hardware: &Hardware<'_, Window, Window, C>,
        word: &CompletionWord,
    ) -> core::result::Result<Outcome, Refusal> {
        match self {
            Self::Suspend => channel.suspend(hardware, word),
            Self::Resume => channel.resume(hardware),
            Self::Abort => channel.abort(hardware, word),
            Self::Reset => channel.reset(hardware, word),
        }
    }
}

impl Core {
    /// The DPC.
    fn deferred(&self, irql: &Dispatch) {
        let taken = self.interrupts.load(Ordering::Acquire);
        let interrupted = self.served.swap(taken, Ordering::AcqRel) != taken;
        if self.watch.swap(false, Ordering::AcqRel) && !interrupted {
            self.watch(irql);
        } else {
            self.serve(irql);
        }
    }

    /// After an interrupt: report what is done, re-arm, report what was done in between (H29).
    fn serve(&self, irql: &Dispatch) {
        let first = self.ask(irql, None, |channel, hardware, word| channel.service(hardware, word));
        let Some((visit, report)) = first else { return };
        self.tell(visit, report, irql);
        self.rearm(visit, irql);
    }

    /// Without an interrupt: report what was lost, if anything (H31).
    fn watch(&self, irql: &Dispatch) {
        let found = self.ask(irql, None, |channel, hardware, word| channel.watch(hardware, word));
        let Some((visit, report)) = found else { return };
        if let Report::Completed(completed) = report {
            self.tally.recovered.fetch_add(1, Ordering::Relaxed);
            TRACE.write(Event::CompletionRecovered {
                location: self.location,
                channel: self.number.into(),
                completed: Hex(completed),
            });
        }
        self.tell(visit, report, irql);
        if report != Report::Nothing {
            self.rearm(visit, irql);
        }
    }

    fn rearm(&self, visit: Visit, irql: &Dispatch) {
        let second =
            self.ask(irql, Some(visit.generation), |channel, hardware, word| channel.rearm(hardware, word));
        if let Some((visit, report)) = second {
            self.tell(visit, report, irql);
        }
    }

    /// Asks the channel under the lock, if it has an owner, and still the one of `generation` if that is given.
    fn ask(
        &self,
        irql: &Dispatch,
        generation: Option<u64>,
        question: impl FnOnce(&mut Channel, &Hardware<'_, Window, Window, Stall>, &CompletionWord) -> Report,
    ) -> Option<(Visit, Report)> {
        let mut state = self.state.lock_at_dispatch(irql);
        let Inner {
            channel: Some(channel), window: Some(window), owner: Some(owner), generation: now, ..
        } = &mut *state
        else {
            return None;
        };
        if generation.is_some_and(|expected| expected != *now) {
            return None;
        }
        if channel.state() == State::Stopping {
            self.missed.store(true, Ordering::Release);
        }
        let report = question(channel, &window.hardware(Stall), owner.word);
        let visit = Visit { generation: *now, handle: owner.handle };
        let (state_now, error) = (channel.state(), channel.take_error());
        drop(state);
        self.trace_error(error);
        if report == Report::Stopped {
            self.trace_stop(state_now);
        }
        Some((visit, report))
    }

    /// Tells the interface, with no lock held (D11, R257).
    fn tell(&self, visit: Visit, report: Report, irql: &Dispatch) {
        match report {
            Report::Nothing => {}
            Report::Completed(last) => {
                self.tally.completions.fetch_add(1, Ordering::Relaxed);
                netdma::interrupt_dpc(visit.handle, last, irql);
            }
            Report::Stopped => netdma::interrupt_dpc(visit.handle, 0, irql),
        }
    }

    fn trace_stop(&self, state: State) {
        self.tally.halts.fetch_add(1, Ordering::Relaxed);
        let (location, channel) = (self.location, u64::from(self.number));
        match state {
            State::Gone => TRACE.write(Event::RegisterDefaulted { location, channel }),
            State::Lost => {
                let microseconds = Patience::PASSIVE.reset_us.into();
                TRACE.write(Event::ResetTimedOut { location, channel, microseconds });
            }
            // An abort that took long; or an error, which has been traced.
            _ => {}
        }
    }

    /// Says which error the engine met, if it has met one.
    #[inline]
    fn trace_error(&self, error: Option<(ChanErr, u64)>) {
        if let Some((errors, completed)) = error {
            self.tally.last_errors.store(errors.0, Ordering::Relaxed);
            TRACE.write(Event::EngineError {
                location: self.location,
                channel: self.number.into(),
                errors: Hex(errors.0.into()),
                completed: Hex(completed),
            });
        }
    }

    /// Whether the channel has stopped for good and the interface has not heard of it.
    fn wants_report(&self, irql: &mut Passive) -> bool {
        let state = self.state.lock(irql);
        state.channel.as_ref().is_some_and(Channel::wants_report)
    }

    /// Runs a procedure of PASSIVE_LEVEL on the channel without the lock. `None` when there is no channel, or somebody
    /// else has it.
    fn slowly<T>(
        &self,
        irql: &mut Passive,
        procedure: impl FnOnce(
            &mut Channel,
            &Hardware<'_, Window, Window, Sleep<'_>>,
            Option<&CompletionWord>,
        ) -> T,
    ) -> Option<T> {
        let (mut channel, window, word) = {
            let mut state = self.state.lock(irql);
            let Inner { channel: Some(channel), window: Some(window), owner, .. } = &mut *state else {
                return None;
            };
            (channel.lend()?, window.clone(), owner.map(|owner| owner.word))
        };
        let result = procedure(&mut channel, &window.hardware(Sleep(irql)), word);
        let error = channel.take_error();
        self.put_back(channel, irql);
        self.trace_error(error);
        Some(result)
    }

    fn put_back(&self, lent: Channel, irql: &mut Passive) {
        let mut state = self.state.lock(irql);
        if let Inner { channel: Some(channel), window: Some(window), .. } = &mut *state {
            channel.take_back(&window.hardware(Stall), lent);
        }
    }

    /// The worker: finishes what did not stop within 50 µs.
    fn finish_stopping(&self, irql: &mut Passive) {
        let (mut channel, window) = {
            let state = self.state.lock(irql);
            let Inner { channel: Some(channel), window: Some(window), .. } = &*state else { return };
            if channel.state() != State::Stopping {
                return;
            }
            (channel.clone(), window.clone())
        };
        channel.finish_stopping(&window.hardware(Sleep(irql)));
        let error = channel.take_error();
        self.put_back(channel, irql);
        self.trace_error(error);
    }

    /// Waits until nobody has the channel. A procedure lasts 300 ms at most.
    fn wait_until_settled(&self, irql: &mut Passive) {
        /// In milliseconds: what the longest procedure takes, and as much again.
        const LIMIT: u32 = 600;
        for _ in 0..LIMIT {
            let stopping = {
                let state = self.state.lock(irql);
                state.channel.as_ref().is_some_and(|channel| channel.state() == State::Stopping)
            };
            if !stopping {
                return;
            }
            thread::sleep(Duration::from_millis(1), irql);
        }
    }
}

fn somewhere(processor: &AtomicU32) -> Option<u32> {
    let processor = processor.load(Ordering::Acquire);
    (processor != NOWHERE).then_some(processor)
}
