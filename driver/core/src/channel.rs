//! One channel: the nine entry points' commands, turned into register accesses.
//!
//! Cost (D21): a start on a channel that is not running writes the chain address and the count, an append the count
//! alone; neither reads. Everything else may read, and wait as long as the caller's clock allows.

use core::sync::atomic::{AtomicU64, Ordering};

use ioat_regs::{ChanCmd, ChanErr, ChanSts};

use crate::{
    Clock, Engine, Hardware, PciConfig, Refusal, Registers, State,
    block::Block,
    hardware::wait_for,
    state::{Answer, Command, answer},
};

/// The completion word of a channel: one aligned 64-bit word that the engine writes and the interface owns.
pub type CompletionWord = AtomicU64;

/// One channel. Its owner serialises the calls; the registers of other channels are never touched.
#[derive(Debug, Clone)]
pub struct Channel {
    pub(crate) engine: Engine,
    pub(crate) number: u8,
    pub(crate) state: State,
    /// The channel is ours and no other driver's; before 3.0 only (H42).
    pub(crate) claimed: bool,
    /// The function has no interrupt: completions are looked for.
    pub(crate) polled: bool,
    /// Bus address of the completion word while the channel is allocated.
    pub(crate) completion: Option<u64>,
    /// What DMACOUNT was last written with: a free-running count (§4.2).
    pub(crate) posted: u16,
    /// The completion word as last reported.
    pub(crate) seen: ChanSts,
    /// Why the engine halted last.
    pub(crate) last_error: ChanErr,
    /// An error of the engine that nobody has put on record yet, with the last descriptor that was done before it.
    pub(crate) noted: Option<(ChanErr, u64)>,
    /// The channel stopped for good and nobody has told the interface yet.
    pub(crate) unreported: bool,
    /// A completion was reported: one more interrupt may have been latched for it meanwhile.
    pub(crate) told: bool,
    /// The last completed descriptor that was reported, by the word or by CHANSTS.
    pub(crate) reported: u64,
    /// Completion word and count as the watchdog found them last.
    pub(crate) watched: Option<(u64, u16)>,
    /// The watchdog has seen that nothing is left to do since then.
    pub(crate) settled: bool,
}

/// What a command left behind when it was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to add.
    Done,
    /// The bus address of the last completed descriptor, zero if there was none (suspend, abort, reset).
    Stopped(u64),
}

/// Why the engine could not be stopped.
pub(crate) enum StopError {
    Gone,
    Expired,
}

impl Channel {
    /// Channel `number` of `engine`, not yet brought up. No register is touched.
    pub const fn new(engine: Engine, number: u8) -> Self {
        Self {
            engine,
            number,
            state: State::Down,
            claimed: false,
            polled: false,
            completion: None,
            posted: 0,
            seen: ChanSts(State::ARMED_WORD),
            last_error: ChanErr(0),
            noted: None,
            unreported: false,
            told: false,
            reported: 0,
            watched: None,
            settled: false,
        }
    }

    /// The same channel in a function without an interrupt. It is never re-armed: with MSI-X nothing but that keeps it from
    /// sending messages (M50), and one at most goes to a vector that nobody listens to.
    #[must_use]
    pub const fn polled(self) -> Self {
        Self { polled: true, ..self }
    }

    /// Where the channel is.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Its number in the function, from zero.
    pub const fn number(&self) -> u8 {
        self.number
    }

    /// Why the engine halted last; empty if it never did.
    pub const fn last_error(&self) -> ChanErr {
        self.last_error
    }

    /// The error that the engine has met since the last call, with the bus address of the last descriptor that was done
    /// before it (zero: none). Whoever runs a command or a service asks afterwards, so that no error goes unrecorded because
    /// a command cleared it first.
    #[inline]
    pub const fn take_error(&mut self) -> Option<(ChanErr, u64)> {
        self.noted.take()
    }

    /// The channel stopped for good and [`service`](Self::service) has to be run to say so.
    pub const fn wants_report(&self) -> bool {
        self.unreported
    }

    /// Allocates the channel: from now on completion words go to `completion` (bus address, a multiple of 8).
    ///
    /// # Errors
    /// The state does not allow it, or the engine cannot be brought to rest.
    pub fn attach<R: Registers, P: PciConfig, C: Clock>(
        &mut self,
        hardware: &Hardware<'_, R, P, C>,
        completion: u64,
    ) -> Result<Outcome, Refusal> {
        if let Answer::Refuse(refusal) = answer(self.state, Command::Attach) {
            return Err(refusal);
        }
        let block = self.block(hardware);
        let quiet = match (block.status(), block.error()) {
            (Some(status), Some(error)) => {
                error.is_empty() && status.state() != Some(ioat_regs::State::Active)
            }
            _ => return Err(self.left()),
        };
        self.completion = Some(completion);
        if quiet {
            self.program(hardware);
        } else if let Err(refusal) = self.recover(hardware) {
            self.completion = None;
            return Err(refusal);
        }
        self.state = State::Ready;
        self.unreported = false;
        self.last_error = ChanErr(0);
        Ok(Outcome::Done)
    }

    /// Frees the channel: no interrupt and no error report comes from it any more. Never waits (D18).
    pub fn detach<R: Registers, P: PciConfig, C: Clock>(&mut self, hardware: &Hardware<'_, R, P, C>) {
        if answer(self.state, Command::Detach) == Answer::Silence {
            self.block(hardware).write_control(self.silent_control());
        }
        self.completion = None;
        self.unreported = false;
    }

    /// Runs `count` descriptors from `first` (bus address), dropping what an earlier start has left undone.
    ///
    /// # Errors
    /// Nothing of the list is processed (R124).
    pub fn start<R: Registers, P: PciConfig, C: Clock>(
        &mut self,
        hardware: &Hardware<'_, R, P, C>,
        word: &CompletionWord,
        first: u64,
        count: u32,
    ) -> Result<Outcome, Refusal> {
        let count = self.check_list(first, count)?;
        match answer(self.state, Command::Start) {
            Answer::Launch => {}
            Answer::Displace => {
                self.displace(hardware)?;
                // Before the old list came to rest the engine may have written a last word over the interface's (R161),
                // and nothing of that list is to be told any more.
                word.store(State::ARMED_WORD, Ordering::Release);
            }
            Answer::RecoverAndLaunch => self.recover(hardware)?,
            Answer::Refuse(refusal) => return Err(refusal),
            _ => return Err(Refusal::NotStarted),
        }
        let block = self.block(hardware);
        block.write_chain(first);
        block.ring(count, ChanCmd::START);
        self.posted = count;
        self.seen = ChanSts(State::ARMED_WORD);
        self.state = State::Running;
        self.unreported = false;
        self.told = false;
        self.reported = 0;
        self.watched = None;
        Ok(Outcome::Done)
    }

    /// Adds `count` descriptors behind the ones already given: one register write.
    ///
    /// # Errors
    /// The channel does not run; nothing of the list is processed.
    pub fn append<R: Registers, P: PciConfig, C: Clock>(
        &mut self,
        hardware: &Hardware<'_, R, P, C>,
        first: u64,
        count: u32,
    ) -> Result<Outcome, Refusal> {
        match answer(self.state, Command::Append) {
            Answer::Ring => {}
            Answer::Refuse(refusal) => return Err(refusal),
            _ => return Err(Refusal::NotStarted),
        }
        self.posted = self.posted.wrapping_add(self.check_list(first, count)?);
        self.block(hardware).ring(self.posted, ChanCmd::APPEND);
        Ok(Outcome::Done)
    }

    /// Lets the current descriptor finish, then stops. The answer is the last completed descriptor, which the
    /// completion word names too.
    ///
    /// # Errors
    /// The channel does not run, or did not stop within the wait.
    pub fn suspend<R: Registers, P: PciConfig, C: Clock>(
        &mut self,
        hardware: &Hardware<'_, R, P, C>,
        word: &CompletionWord,
    ) -> Result<Outcome, Refusal> {
        match answer(self.state, Command::Suspend) {
            Answer::Suspend => {}
            Answer::Already => return Ok(Outcome::Stopped(self.seen.address())),
            Answer::Refuse(refusal) => return Err(refusal),
            _ => return Err(Refusal::NotStarted),
        }
        let status = self.suspend_engine(hardware).map_err(|error| self.not_stopped(error))?;
        if status.state() == Some(ioat_regs::State::Halted) {
            self.fault(hardware, word, status);
            return Err(Refusal::NotStarted);
        }
        self.state = State::Suspended;
        self.seen = ChanSts::new(status.address(), ioat_regs::State::Suspended);
        word.store(self.seen.0, Ordering::Release);
        Ok(Outcome::Stopped(status.address()))
    }

    /// Goes on after a suspend: the engine reads the last completed descriptor's next pointer again (R178).
    ///
    /// # Errors
    /// The channel is not suspended.
    pub fn resume<R: Registers, P: PciConfig, C: Clock>(
        &mut self,
        hardware: &Hardware<'_, R, P, C>,
    ) -> Result<Outcome, Refusal> {
        match answer(self.state, Command::Resume) {
            Answer::Resume => {}
            Answer::Refuse(refusal) => return Err(refusal),
            _ => return Err(Refusal::NotSuspended),
        }
        core::sync::atomic::fence(Ordering::Release);
        self.block(hardware).command(ChanCmd::RESUME);
        self.state = State::Running;
        Ok(Outcome::Done)
    }

    /// Stops at once; what is not completed never will be.
    ///
    /// # Errors
    /// The channel was never started, or did not stop within the wait.
    pub fn abort<R: Registers, P: PciConfig, C: Clock>(
        &mut self,
        hardware: &Hardware<'_, R, P, C>,
        word: &CompletionWord,
    ) -> Result<Outcome, Refusal> {
        match answer(self.state, Command::Abort) {
            Answer::Halt => {}
            Answer::Already => return Ok(Outcome::Stopped(self.seen.address())),
            Answer::Refuse(refusal) => return Err(self.report_again(refusal)),
            _ => return Err(Refusal::NotStarted),
        }
        let status = self.halt_engine(hardware).map_err(|error| self.not_stopped(error))?;
        // An error may have come first; only a reset gets the channel out of that.
        let error = self.block(hardware).error().ok_or_else(|| self.left())?;
        self.state = if error.is_empty() { State::Halted } else { State::Faulted };
        if !error.is_empty() {
            self.note(error, status.address());
        }
        Ok(Outcome::Stopped(self.report_halt(word, status.address())))
    }

    /// Stops at once and returns to the state right after allocation.
    ///
    /// # Errors
    /// The state does not allow it, or the engine did not finish the reset within the wait.
    pub fn reset<R: Registers, P: PciConfig, C: Clock>(
        &mut self,
        hardware: &Hardware<'_, R, P, C>,
        word: &CompletionWord,
    ) -> Result<Outcome, Refusal> {
        match answer(self.state, Command::Reset) {
            Answer::Reset => {}
            Answer::Refuse(refusal) => return Err(self.report_again(refusal)),
            _ => return Err(Refusal::NotStarted),
        }
        let cut = matches!(self.state, State::Running | State::Suspended);
        let last = if cut { self.last_completed(hardware, word)? } else { self.seen.address() };
        self.recover(hardware)?;
        self.state = State::Ready;
        self.posted = 0;
        self.unreported = false;
        Ok(Outcome::Stopped(if cut { self.report_halt(word, last) } else { last }))
    }

    /// Ends [`State::Stopping`] with all the time the hardware may take. Afterwards [`service`](Self::service)
    /// reports the halt. At PASSIVE_LEVEL, without any lock: nothing else touches the registers meanwhile.
    pub fn finish_stopping<R: Registers, P: PciConfig, C: Clock>(
        &mut self,
        hardware: &Hardware<'_, R, P, C>,
    ) {
        if self.state != State::Stopping {
            return;
        }
        self.state = match self.reset_engine(hardware) {
            Ok(found) => {
                if !found.errors.is_empty() {
                    self.note(found.errors, self.seen.address());
                }
                self.program(hardware);
                State::Halted
            }
            Err(StopError::Gone) => State::Gone,
            Err(StopError::Expired) => {
                self.engine.stop_bus_master(hardware.config);
                State::Lost
            }
        };
        self.unreported = self.completion.is_some();
    }

    /// The channel for a procedure at PASSIVE_LEVEL that may take its time: whoever comes meanwhile finds
    /// [`State::Stopping`]. [`take_back`](Self::take_back) ends that. `None` when somebody else has it.
    pub fn lend(&mut self) -> Option<Self> {
        let lent = self.clone();
        if self.state == State::Stopping {
            return None;
        }
        if !matches!(self.state, State::Down | State::Lost | State::Gone) {
            self.state = State::Stopping;
        }
        Some(lent)
    }

    /// Takes back what [`lend`](Self::lend) gave, or a clone of a channel that was [`State::Stopping`]. What came
    /// in between stands: a removal, and a free.
    pub fn take_back<R: Registers, P: PciConfig, C: Clock>(
        &mut self,
        hardware: &Hardware<'_, R, P, C>,
        lent: Self,
    ) {
        let now = core::mem::replace(self, lent);
        if now.state == State::Gone {
            self.state = State::Gone;
            self.unreported |= now.unreported;
        }
        if now.completion.is_none() && self.completion.is_some() {
            self.detach(hardware);
        }
    }

    /// The device was removed. Touches no register; [`service`](Self::service) then reports the halt.
    pub fn remove(&mut self, word: Option<&CompletionWord>) {
        self.state = State::Gone;
        if let Some(word) = word {
            self.report_halt(word, reported_address(word));
            self.unreported = true;
        }
    }

    /// Makes a running channel quiet for a new list (R113, R114). An error that halted it goes on record.
    fn displace<R: Registers, P: PciConfig, C: Clock>(
        &mut self,
        hardware: &Hardware<'_, R, P, C>,
    ) -> Result<(), Refusal> {
        let status = self.block(hardware).status().ok_or_else(|| self.left())?;
        let stopped = match status.state() {
            Some(ioat_regs::State::Idle) => return Ok(()),
            Some(ioat_regs::State::Halted) => status,
            _ => self.suspend_engine(hardware).map_err(|error| self.not_stopped(error))?,
        };
        if stopped.state() == Some(ioat_regs::State::Halted) {
            let error = self.block(hardware).error().ok_or_else(|| self.left())?;
            self.note(error, stopped.address());
            self.state = State::Faulted;
            self.recover(hardware)?;
        }
        Ok(())
    }

    /// Suspends and waits. Ends in suspended, or in halted when an error came first.
    pub(crate) fn suspend_engine<R: Registers, P: PciConfig, C: Clock>(
        &self,
        hardware: &Hardware<'_, R, P, C>,
    ) -> Result<ChanSts, StopError> {
        let block = self.block(hardware);
        // An armed engine ignores the command (Q18), so it is given once the engine is seen to have begun.
        let mut asked = false;
        let end = wait_for(&hardware.clock, C::PATIENCE.stop_us, || {
            let Some(status) = block.status() else { return Some(Err(StopError::Gone)) };
            match status.state() {
                Some(ioat_regs::State::Suspended | ioat_regs::State::Halted) => return Some(Ok(status)),
                Some(ioat_regs::State::Active | ioat_regs::State::Idle) if !asked => {
                    block.command(ChanCmd::SUSPEND);
                    asked = true;
                }
                _ => {}
            }
            None
        });
        end.unwrap_or(Err(StopError::Expired))
    }

    /// Aborts and waits.
    fn halt_engine<R: Registers, P: PciConfig, C: Clock>(
        &self,
        hardware: &Hardware<'_, R, P, C>,
    ) -> Result<ChanSts, StopError> {
        let block = self.block(hardware);
        block.command(ChanCmd::ABORT);
        let end = wait_for(&hardware.clock, C::PATIENCE.stop_us, || match block.status() {
            None => Some(Err(StopError::Gone)),
            Some(status) if status.state() == Some(ioat_regs::State::Halted) => Some(Ok(status)),
            Some(_) => None,
        });
        end.unwrap_or(Err(StopError::Expired))
    }

    /// The last completed descriptor of a channel about to be reset, which forgets it. When the engine does not
    /// stop for the question, the completion word's answer stands: older perhaps, but never contradicted.
    fn last_completed<R: Registers, P: PciConfig, C: Clock>(
        &mut self,
        hardware: &Hardware<'_, R, P, C>,
        word: &CompletionWord,
    ) -> Result<u64, Refusal> {
        match self.halt_engine(hardware) {
            Ok(status) => Ok(status.address()),
            Err(StopError::Expired) => Ok(reported_address(word)),
            Err(StopError::Gone) => Err(self.left()),
        }
    }

    /// Clears the error, resets and programs. On expiry the channel is left [`State::Stopping`].
    pub(crate) fn recover<R: Registers, P: PciConfig, C: Clock>(
        &mut self,
        hardware: &Hardware<'_, R, P, C>,
    ) -> Result<(), Refusal> {
        let found = self.reset_engine(hardware).map_err(|error| self.not_stopped(error))?;
        if !found.errors.is_empty() && self.state != State::Faulted {
            self.note(found.errors, self.seen.address());
        }
        self.program(hardware);
        Ok(())
    }

    /// The engine halted by itself: keep its reason, and see that the completion word says so, since hardware does
    /// not always write it (H33).
    pub(crate) fn fault<R: Registers, P: PciConfig, C: Clock>(
        &mut self,
        hardware: &Hardware<'_, R, P, C>,
        word: &CompletionWord,
        status: ChanSts,
    ) {
        match self.block(hardware).error() {
            Some(error) => {
                self.note(error, status.address());
                self.state = State::Faulted;
            }
            None => self.state = State::Gone,
        }
        self.report_halt(word, status.address());
        self.unreported = true;
    }

    /// Keeps an error of the engine for the record.
    const fn note(&mut self, error: ChanErr, completed: u64) {
        self.last_error = error;
        self.noted = Some((error, completed));
    }

    /// Stores the completion word of a halted channel; gives the address back.
    pub(crate) fn report_halt(&mut self, word: &CompletionWord, address: u64) -> u64 {
        self.seen = ChanSts::new(address, ioat_regs::State::Halted);
        word.store(self.seen.0, Ordering::Release);
        self.seen.address()
    }

    /// The device has left: nothing is done any more.
    pub(crate) fn left(&mut self) -> Refusal {
        self.unreported = self.completion.is_some();
        self.state = State::Gone;
        Refusal::Gone
    }

    /// After a refused abort or reset the interface waits to hear that the channel has stopped. One that has stopped
    /// for good says it again.
    fn report_again(&mut self, refusal: Refusal) -> Refusal {
        if matches!(refusal, Refusal::Lost | Refusal::Gone) {
            self.unreported = self.completion.is_some();
        }
        refusal
    }

    fn not_stopped(&mut self, error: StopError) -> Refusal {
        match error {
            StopError::Gone => self.left(),
            StopError::Expired => {
                self.state = State::Stopping;
                Refusal::Expired
            }
        }
    }

    /// The count as the register takes it, when the list is one the engine can be given.
    fn check_list(&self, first: u64, count: u32) -> Result<u16, Refusal> {
        if first & !ChanSts::ADDRESS_MASK != 0 || first == 0 || first > self.engine.max_address {
            return Err(Refusal::BadList);
        }
        match u16::try_from(count) {
            Ok(0) | Err(_) => Err(Refusal::BadList),
            Ok(count) => Ok(count),
        }
    }

    pub(crate) fn block<'a, R: Registers, P: PciConfig, C: Clock>(
        &self,
        hardware: &Hardware<'a, R, P, C>,
    ) -> Block<'a, R> {
        Block::new(hardware.registers, &self.engine, self.number)
    }

    /// CHANCTRL of an allocated channel. Before 3.0 the in-use bit keeps the claim to it (H42).
    pub(crate) const fn run_control(&self) -> ioat_regs::ChanCtrl {
        ioat_regs::channel::CHANCTRL_RUN
            .with_in_use(self.engine.is_claimed_by_read())
            .with_interrupt_disable(!self.polled)
    }

    /// CHANCTRL of a channel that nobody has allocated: no interrupt, no error word.
    pub(crate) const fn silent_control(&self) -> ioat_regs::ChanCtrl {
        ioat_regs::ChanCtrl::new().with_in_use(self.engine.is_claimed_by_read())
    }
}

impl State {
    /// What the interface stores in the completion word before a start (R161).
    pub(crate) const ARMED_WORD: u64 = netdma_abi::completion::ARMED;
}

/// The last completed descriptor as the completion word has it; zero while it says armed.
pub(crate) fn reported_address(word: &CompletionWord) -> u64 {
    let word = ChanSts(word.load(Ordering::Acquire));
    if word.state() == Some(ioat_regs::State::Armed) { 0 } else { word.address() }
}
