//! A client's channel: what its lock guards.
//!
//! The story of a copy: [`submit`](Channel::copy) builds descriptors behind the ring's end and accepts them as one request,
//! whose end position is its cookie. When enough requests wait, [`post`](Channel::post) marks the last descriptor to report
//! and hands all of them to the provider in one call. [`observe`](Channel::observe) reads where the engine is, and
//! [`crate::delivery`] tells the client, in order, without the lock.
//!
//! Nothing of it trusts the engine: an address it reports moves the ring only if it names a descriptor in flight.

use core::sync::atomic::{Ordering, fence};

use netdma_abi::client::Statistics;
use netdma_abi::completion::{self, TransferStatus};
use netdma_abi::descriptor::{
    DCA_CONTEXT_CHANGE, DESTINATION_DCA_ENABLE, DESTINATION_PAGE_BREAK, INTERRUPT_ON_COMPLETION,
    NULL_TRANSFER, OP_TYPE_CONTEXT_CHANGE, SOURCE_PAGE_BREAK, STATUS_UPDATE_ON_COMPLETION,
};
use netdma_abi::status::{
    STATUS_DEVICE_NOT_READY, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_DEVICE_STATE,
    STATUS_INVALID_PARAMETER, STATUS_IO_DEVICE_ERROR, STATUS_REQUEST_ABORTED, STATUS_SUCCESS,
    STATUS_UNSUCCESSFUL,
};
use netdma_abi::{Descriptor, NtStatus, PAGE_SIZE, PhysicalAddress, Version, nt_success};

use crate::delivery::Completed;
use crate::memory::{Operation, RingMemory};
use crate::provider::{ChannelContext, EntryPoints};
use crate::registration::Dialect;
use crate::ring::{BadMemory, Named, Ring};
use crate::transfer::{Begun, Capabilities, Run, Runs, Transfer, TransferError, is_reachable};

/// The states of spec 1.6, and the one of a control operation that its provider could not finish in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum ChannelState {
    /// Allocated or reset: the next post is a start.
    Initial = 0,
    /// Started, nothing done yet.
    Armed = 1,
    /// Something done, more to do.
    Active = 2,
    /// Everything posted is done.
    Idle = 3,
    /// Suspended: requests are accepted, nothing is posted.
    Suspended = 4,
    /// Aborted or failed: the next post is a start.
    Halted = 5,
    /// The device was out of D0: the next post is a start (R277).
    ContextLost = 6,
    /// An abort or reset did not end in time, or the engine wrote nonsense: nothing is accepted until a control operation
    /// or a Halted word ends it.
    Stopping = 7,
}

impl ChannelState {
    /// Whether the engine's context is gone, so that an append must not follow (R111, R137, R277).
    #[must_use]
    pub const fn needs_start(self) -> bool {
        matches!(self, Self::Initial | Self::Halted | Self::ContextLost)
    }

    const fn is_running(self) -> bool {
        matches!(self, Self::Armed | Self::Active | Self::Idle)
    }
}

/// What does not change during a channel's life.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// The provider's version: its dialect, and whether it may ask for a fresh start (R282).
    pub version: Version,
    /// What `AllocateDmaChannel` stored.
    pub context: ChannelContext,
    /// What one descriptor may hold.
    pub capabilities: Capabilities,
    /// The client only polls.
    pub polled: bool,
    /// APIC id of the processor whose cache is hinted at, if the provider has direct cache access (C30).
    pub cache: Option<u8>,
}

/// What a look at the engine found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// Descriptors found done.
    pub finished: u64,
    /// The channel was found Halted, unasked; descriptors that failed by it.
    pub halted: Option<u64>,
    /// The word or address that named nothing of this ring.
    pub foreign: Option<u64>,
}

/// A control operation in progress, which is alone on the channel but holds no lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// `SuspendDma`.
    Suspend,
    /// `ResumeDma`.
    Resume,
    /// `AbortDma`; with how requests shall end.
    Abort(NtStatus),
    /// `ResetChannel`; likewise.
    Reset(NtStatus),
}

/// How a control operation ended at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlOutcome {
    /// Done. After a suspend with the last processed descriptor, if told.
    Done(Option<PhysicalAddress>),
    /// The provider refused or did not get done in time.
    Failed(NtStatus),
    /// The provider has no such entry point.
    Absent,
}

/// A channel over its ring. Every method is called with the channel's lock held.
#[derive(Debug)]
pub struct Channel<M> {
    ring: Ring<M>,
    setup: Setup,
    dialect: Dialect,
    state: ChannelState,
    /// Requests are accepted.
    open: bool,
    control: Option<Control>,
    /// How requests end when the provider reports Halted: our own abort or reset, else an engine error.
    ending: Option<NtStatus>,
    /// An append failed: start once the engine is quiet (a start on a busy channel would drop what is in flight).
    restart: bool,
    /// The engine has to be told whose cache to hint at before a copy asks for hints.
    context_due: bool,
    /// The channel is on its way back to its provider: nothing begins on it any more.
    retired: bool,
    limit: u32,
    waiting_requests: u32,
    /// Requests of the interface itself.
    silent_requests: u64,
    delivering: bool,
    statistics: Statistics,
}

impl<M: RingMemory> Channel<M> {
    /// A channel that its provider has just allocated.
    ///
    /// # Errors
    /// As [`Ring::new`].
    pub fn new(memory: M, setup: Setup) -> Result<Self, BadMemory> {
        Ok(Self {
            ring: Ring::new(memory)?,
            setup,
            dialect: Dialect::of(setup.version),
            state: ChannelState::Initial,
            open: true,
            control: None,
            ending: None,
            restart: false,
            context_due: setup.cache.is_some(),
            retired: false,
            limit: netdma_abi::client::DEFAULT_MAX_PENDING_DESCRIPTORS,
            waiting_requests: 0,
            silent_requests: 0,
            delivering: false,
            statistics: Statistics { channels: 1, ..Statistics::default() },
        })
    }

    /// The channel's state.
    #[must_use]
    pub fn state(&self) -> ChannelState {
        self.state
    }

    /// The ring, for printing and for its memory.
    #[must_use]
    pub fn ring(&self) -> &Ring<M> {
        &self.ring
    }

    /// What the provider calls this channel.
    #[must_use]
    pub fn context(&self) -> ChannelContext {
        self.setup.context
    }

    /// The counters so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let submitted = self.ring.requests_accepted().wrapping_sub(self.silent_requests);
        Statistics { submitted, ..self.statistics }
    }

    /// Somebody polls.
    pub fn count_poll(&mut self) {
        self.statistics.polls = self.statistics.polls.wrapping_add(1);
    }

    /// The provider reports.
    pub fn count_dpc(&mut self) {
        self.statistics.dpcs = self.statistics.dpcs.wrapping_add(1);
    }

    /// Gives the ring's memory back.
    #[must_use]
    pub fn into_memory(self) -> M {
        self.ring.into_memory()
    }

    /// Accepts requests again, unless the channel is retired.
    pub fn open(&mut self) {
        self.open = !self.retired;
    }

    /// Refuses further requests for good: what is accepted ends, then the provider gets the channel back.
    pub fn retire(&mut self) {
        self.open = false;
        self.retired = true;
    }

    /// Refuses further requests. Those accepted go on.
    pub fn close(&mut self) {
        self.open = false;
    }

    /// Whether requests are accepted.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Nothing accepted is unfinished or untold, and nobody is at work on the channel.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.ring.done() == self.ring.built()
            && self.ring.requests_waiting() == 0
            && !self.delivering
            && self.control.is_none()
    }

    /// Requests posted together.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Sets the limit; posts when it is reached already.
    ///
    /// # Errors
    /// INVALID_PARAMETER for 0.
    pub fn set_limit(&mut self, provider: &impl EntryPoints, limit: u32) -> Result<(), NtStatus> {
        if limit == 0 {
            return Err(STATUS_INVALID_PARAMETER);
        }
        self.limit = limit;
        if self.waiting_requests >= limit {
            self.post(provider);
        }
        Ok(())
    }

    /// Whether the request of a cookie has ended. `false` for a cookie that was never given.
    #[must_use]
    pub fn is_complete(&self, cookie: usize) -> bool {
        cookie != 0 && cookie as u64 <= self.ring.done()
    }

    /// Reads the next slot, which brings its cache line in.
    pub fn touch_next(&self) {
        core::hint::black_box(self.ring.slot(self.ring.built()).map(|slot| slot.words()));
    }

    /// Copies `length` bytes. The answer is the request's cookie.
    ///
    /// Most copies are one descriptor between two contiguous pieces; that case is straight code.
    ///
    /// # Errors
    /// DEVICE_NOT_READY while the channel is closed, INVALID_DEVICE_STATE while it is stopping, INVALID_PARAMETER for pieces that
    /// the engine cannot reach or that are shorter than `length`, INSUFFICIENT_RESOURCES without room in the ring.
    #[inline]
    pub fn copy<D: Runs, S: Runs>(
        &mut self,
        provider: &impl EntryPoints,
        mut destination: D,
        mut source: S,
        length: u32,
        flags: u32,
        context: usize,
    ) -> Result<u64, NtStatus> {
        let (Some(to), Some(from)) = (destination.next_run(), source.next_run()) else {
            return Err(STATUS_INVALID_PARAMETER);
        };
        let wanted = u64::from(length);
        let capabilities = &self.setup.capabilities;
        let last = capabilities.maximum_address.checked_sub(wanted.wrapping_sub(1));
        let simple = to.length >= wanted
            && from.length >= wanted
            && length.wrapping_sub(1) < capabilities.maximum_transfer_size
            && last.is_some_and(|last| to.address <= last && from.address <= last);
        if simple && self.open && self.state != ChannelState::Stopping && self.ring.has_room() {
            let position = self.ring.built();
            let end = position.wrapping_add(1);
            self.ring.slot(position).ok_or(STATUS_UNSUCCESSFUL)?.write_plain(
                length,
                flags,
                from.address,
                to.address,
            );
            if self.dialect == Dialect::NullTerminated {
                self.link_to_next(position);
            }
            self.ring.accept(end, context, length, false).ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
            self.accepted(provider);
            return Ok(end);
        }
        self.copy_pieces(provider, Begun(to, destination), Begun(from, source), length, flags, context)
    }

    /// Any other copy: several pieces, several descriptors, or an error.
    #[inline(never)]
    fn copy_pieces<D: Runs, S: Runs>(
        &mut self,
        provider: &impl EntryPoints,
        destination: D,
        source: S,
        length: u32,
        flags: u32,
        context: usize,
    ) -> Result<u64, NtStatus> {
        let mut transfer = Transfer::new(destination, source, length, self.setup.capabilities);
        self.submit(provider, flags, context, length, |_| {
            transfer.next_operation().map_err(|error| match error {
                TransferError::TooShort | TransferError::OutOfReach => STATUS_INVALID_PARAMETER,
            })
        })
    }

    /// One more request waits; enough of them are posted.
    #[inline]
    fn accepted(&mut self, provider: &impl EntryPoints) {
        self.waiting_requests = self.waiting_requests.wrapping_add(1);
        if self.waiting_requests >= self.limit {
            self.post(provider);
        }
    }

    /// Posts a request that moves nothing and completes after everything before it.
    ///
    /// # Errors
    /// DEVICE_NOT_READY while the channel is closed, INVALID_DEVICE_STATE while it is stopping, INSUFFICIENT_RESOURCES without
    /// room in the ring.
    pub fn null(&mut self, provider: &impl EntryPoints, flags: u32, context: usize) -> Result<u64, NtStatus> {
        let mut once = Some(());
        let flags = flags & !DESTINATION_DCA_ENABLE;
        self.submit(provider, flags, context, 0, |own| Ok(once.take().map(|()| null_operation(own))))
    }

    /// Copies client-built descriptors into the ring as one request (R12). `descriptor(n)` gives the nth of `count`.
    ///
    /// # Errors
    /// As [`null`](Self::null), and INVALID_PARAMETER for an empty list or a descriptor that asks for what a client may not ask.
    pub fn list(
        &mut self,
        provider: &impl EntryPoints,
        count: u32,
        context: usize,
        descriptor: impl Fn(u32) -> Option<Descriptor>,
    ) -> Result<u64, NtStatus> {
        if count == 0 || u64::from(count) > self.ring.size() {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let capabilities = self.setup.capabilities;
        let hints = self.hinted(DESTINATION_DCA_ENABLE);
        let mut bytes = 0u32;
        for number in 0..count {
            let given = descriptor(number).ok_or(STATUS_INVALID_PARAMETER)?;
            let operation = list_operation(&given, &capabilities, 0).ok_or(STATUS_INVALID_PARAMETER)?;
            let payload = if operation.flags & NULL_TRANSFER == 0 { operation.size } else { 0 };
            bytes = bytes.checked_add(payload).ok_or(STATUS_INVALID_PARAMETER)?;
        }
        let mut number = 0;
        self.submit(provider, 0, context, bytes, |own| {
            if number == count {
                return Ok(None);
            }
            let given = descriptor(number).ok_or(STATUS_INVALID_PARAMETER)?;
            number = number.wrapping_add(1);
            let mut operation = list_operation(&given, &capabilities, own).ok_or(STATUS_INVALID_PARAMETER)?;
            operation.flags &= !DESTINATION_DCA_ENABLE | hints;
            Ok(Some(operation))
        })
    }

    /// Builds the operations that `next` gives (it is told its slot's own address) and accepts them as one request. Until
    /// the last line nothing has happened: slots behind the ring's end belong to nobody.
    #[inline]
    fn submit(
        &mut self,
        provider: &impl EntryPoints,
        flags: u32,
        context: usize,
        bytes: u32,
        mut next: impl FnMut(u64) -> Result<Option<Operation>, NtStatus>,
    ) -> Result<u64, NtStatus> {
        if !self.open {
            return Err(STATUS_DEVICE_NOT_READY);
        }
        if self.state == ChannelState::Stopping {
            return Err(STATUS_INVALID_DEVICE_STATE);
        }
        let begin = self.ring.built();
        let limit = begin.wrapping_add(self.ring.room());
        let mut end = begin;
        loop {
            let own = self.ring.address(end).ok_or(STATUS_UNSUCCESSFUL)?;
            let Some(mut operation) = next(own)? else { break };
            if end == limit {
                return self.refuse_full(provider);
            }
            operation.flags |= flags;
            self.ring.write(end, &operation).ok_or(STATUS_UNSUCCESSFUL)?;
            if self.dialect == Dialect::NullTerminated {
                self.link_to_next(end);
            }
            end = end.wrapping_add(1);
        }
        if end == begin {
            // A copy of no bytes.
            return Err(STATUS_INVALID_PARAMETER);
        }
        let Some(cookie) = self.ring.accept(end, context, bytes, false) else {
            return self.refuse_full(provider);
        };
        self.accepted(provider);
        Ok(cookie)
    }

    /// No room: post what waits, so that room will come even if the client's limit is larger than the ring.
    #[cold]
    fn refuse_full(&mut self, provider: &impl EntryPoints) -> Result<u64, NtStatus> {
        self.statistics.ring_full = self.statistics.ring_full.wrapping_add(1);
        self.post(provider);
        Err(STATUS_INSUFFICIENT_RESOURCES)
    }

    /// Hands everything pending to the provider in one call: a start if the engine needs one, else an append.
    ///
    /// Does nothing while the channel is suspended, stopping or under control, nor while a failed append waits for the
    /// engine to become quiet; whatever ends that state posts.
    pub fn post(&mut self, provider: &impl EntryPoints) {
        if self.ring.pending() == 0 || self.control.is_some() {
            return;
        }
        if matches!(self.state, ChannelState::Suspended | ChannelState::Stopping) {
            return;
        }
        if self.restart && self.ring.outstanding() != 0 {
            return;
        }
        let last = self.ring.built().wrapping_sub(1);
        let Some(tail) = self.ring.slot(last) else { return };
        let interrupt = if self.setup.polled { 0 } else { INTERRUPT_ON_COMPLETION };
        tail.add_flags(STATUS_UPDATE_ON_COMPLETION | interrupt);
        if self.dialect == Dialect::NullTerminated {
            tail.link(0);
        }
        self.hand_over(provider);
    }

    /// The provider call, and what Q10 says about failures: append, then start, then reset and start, then give up.
    fn hand_over(&mut self, provider: &impl EntryPoints) {
        for attempt in 0..3u32 {
            let starting = self.state.needs_start() || self.restart;
            let status = self.call_provider(provider, starting);
            if nt_success(status) {
                return self.posted(starting);
            }
            self.statistics.provider_failures = self.statistics.provider_failures.wrapping_add(1);
            if !starting {
                self.unlink_tail();
                self.restart = true;
                if self.ring.outstanding() != 0 {
                    // More may be built behind these before the start.
                    self.relink_pending();
                    return;
                }
            }
            if attempt == 1 {
                if !provider.reset(self.setup.context).is_some_and(nt_success) {
                    break;
                }
                self.withdraw_hints();
            }
        }
        self.end_everything(true, STATUS_IO_DEVICE_ERROR, ChannelState::Halted);
    }

    fn call_provider(&mut self, provider: &impl EntryPoints, starting: bool) -> NtStatus {
        let first = self.ring.posted();
        let (Some(slot), Some(address)) = (self.ring.slot(first), self.ring.address(first)) else {
            return STATUS_UNSUCCESSFUL;
        };
        let (descriptor, address) = (slot.as_descriptor(), PhysicalAddress(address));
        // At most the ring's size, which is at most 65,536.
        let count = self.ring.pending() as u32;
        if starting {
            self.arm();
        } else if self.dialect == Dialect::NullTerminated {
            self.link_to_next(first.wrapping_sub(1));
        }
        // Descriptors and links are in memory before the provider tells the engine of them.
        fence(Ordering::Release);
        if starting {
            provider.start(self.setup.context, descriptor, address, count)
        } else {
            provider.append(self.setup.context, descriptor, address, count)
        }
    }

    /// Before a start: the word names nothing (Q11, R161).
    fn arm(&self) {
        self.ring.memory().completion_word().store(completion::ARMED, Ordering::Relaxed);
    }

    fn posted(&mut self, started: bool) {
        let statistics = &mut self.statistics;
        statistics.batches = statistics.batches.wrapping_add(1);
        statistics.descriptors = statistics.descriptors.wrapping_add(self.ring.pending());
        if started {
            statistics.starts = statistics.starts.wrapping_add(1);
            self.state = ChannelState::Armed;
            self.restart = false;
            self.ending = None;
        } else {
            statistics.appends = statistics.appends.wrapping_add(1);
            if self.state == ChannelState::Idle {
                self.state = ChannelState::Active;
            }
        }
        self.ring.mark_posted();
        self.waiting_requests = 0;
    }

    /// Writes the link of a position to the next one (below 2.0).
    fn link_to_next(&self, position: u64) {
        if let (Some(slot), Some(next)) =
            (self.ring.slot(position), self.ring.address(position.wrapping_add(1)))
        {
            slot.link(next);
        }
    }

    /// What was marked as the end of a list is not the end any more (below 2.0).
    fn relink_pending(&self) {
        if self.dialect == Dialect::NullTerminated {
            self.link_to_next(self.ring.built().wrapping_sub(1));
        }
    }

    /// After a failed append the old tail ends its list again (below 2.0, spec 3.11).
    fn unlink_tail(&self) {
        if self.dialect == Dialect::NullTerminated
            && let Some(tail) = self.ring.slot(self.ring.posted().wrapping_sub(1))
        {
            tail.link(0);
        }
    }

    /// Looks at the completion word, which is the truth (Q7). An address that the provider reported (0: none) is only checked to
    /// be ours: it may have been read long ago, on a virtual machine by more than a lap of the ring, and then the same address
    /// is a descriptor in flight again. The last descriptor of each post writes the word before it interrupts, so nothing is
    /// lost. Bounded by the ring.
    pub fn observe(&mut self, reported: u64) -> Observed {
        let mut seen = Observed::default();
        // Acquire: the data of finished descriptors is read after the word that says so (R154).
        let word = self.ring.memory().completion_word().load(Ordering::Acquire);
        let status = TransferStatus::of(word);
        match status {
            Some(TransferStatus::Armed) => {}
            Some(TransferStatus::Halted) if completion::address(word) == 0 => {}
            Some(_) if word <= completion::ADDRESS_FREE_BITS => {}
            Some(_) => {
                let before = self.ring.done();
                if self.ring.read_word(completion::address(word)) == Named::Foreign {
                    seen.foreign = Some(word);
                }
                seen.finished = self.ring.done().wrapping_sub(before);
            }
            None => seen.foreign = Some(word),
        }
        if seen.foreign.is_some() {
            self.distrust();
        }
        if reported != 0 && self.ring.name(completion::address(reported)) == Named::Foreign {
            seen.foreign = Some(reported);
        }
        if seen.foreign.is_some() {
            self.statistics.foreign_addresses = self.statistics.foreign_addresses.wrapping_add(1);
        }
        if status == Some(TransferStatus::Halted) {
            self.found_halted(&mut seen);
        } else if self.state.is_running() && seen.finished != 0 {
            self.state = if self.ring.outstanding() == 0 { ChannelState::Idle } else { ChannelState::Active };
        }
        seen
    }

    /// The engine wrote what it cannot have meant: nothing more is believed or accepted until a reset, an abort or a Halted
    /// word has ended what is in flight.
    fn distrust(&mut self) {
        if self.state.is_running() {
            self.state = ChannelState::Stopping;
            self.ending = Some(STATUS_IO_DEVICE_ERROR);
        }
    }

    /// The word says Halted. Nothing new if we know; else what is in flight has failed.
    fn found_halted(&mut self, seen: &mut Observed) {
        if self.state.needs_start() {
            return;
        }
        let failed = self.ring.outstanding();
        if self.ending.is_none() {
            seen.halted = Some(failed);
            self.statistics.halts = self.statistics.halts.wrapping_add(1);
        }
        // Our own abort or reset drops what waits as well; an engine error leaves it to the next start.
        let (pending, status) = match self.ending {
            Some(status) => (true, status),
            None => (false, STATUS_IO_DEVICE_ERROR),
        };
        self.end_everything(pending, status, ChannelState::Halted);
    }

    fn end_everything(&mut self, pending: bool, status: NtStatus, state: ChannelState) {
        self.ring.fail(pending, status);
        // What told the engine its context may be among what has ended.
        self.context_due = self.setup.cache.is_some();
        if pending {
            self.waiting_requests = 0;
            self.restart = false;
        }
        self.state = state;
    }

    /// Posts what a state that has just ended kept back.
    pub fn go_on(&mut self, provider: &impl EntryPoints) {
        if self.context_due {
            self.send_context(provider);
        }
        let kept_back = self.restart || self.waiting_requests >= self.limit;
        if kept_back && self.ring.pending() != 0 {
            self.post(provider);
        }
    }

    pub(crate) fn take_room(&mut self) -> Option<M::Room> {
        let room = self.ring.memory_mut().take_room()?;
        self.delivering = true;
        Some(room)
    }

    pub(crate) fn give_room(&mut self, room: M::Room) {
        self.delivering = false;
        self.ring.memory_mut().give_room(room);
    }

    /// Takes ended requests that a client must hear of; answers how many.
    #[inline]
    pub(crate) fn take_ended(&mut self, room: &mut [Completed]) -> usize {
        let (count, bytes) = self.ring.take_ended(room);
        let statistics = &mut self.statistics;
        statistics.completed = statistics.completed.wrapping_add(count as u64);
        statistics.bytes = statistics.bytes.wrapping_add(bytes);
        let taken = room.get(..count).unwrap_or_default();
        if taken.iter().fold(0, |any, completed| any | completed.status) != STATUS_SUCCESS {
            self.count_failures(taken);
        }
        count
    }

    #[cold]
    fn count_failures(&mut self, taken: &[Completed]) {
        let statistics = &mut self.statistics;
        for completed in taken {
            let counter = match completed.status {
                STATUS_SUCCESS => continue,
                STATUS_REQUEST_ABORTED => &mut statistics.aborted,
                _ => &mut statistics.failed,
            };
            *counter = counter.wrapping_add(1);
            statistics.completed = statistics.completed.wrapping_sub(1);
        }
    }

    /// Claims the channel for a control operation, which the caller then makes without the lock (D18 of the
    /// architecture) and ends by [`end_control`](Self::end_control). Until then nothing is posted.
    ///
    /// # Errors
    /// INVALID_DEVICE_STATE when another control operation runs, or the state does not allow this one.
    pub fn begin_control(&mut self, control: Control) -> Result<(), NtStatus> {
        let fits = match control {
            Control::Suspend => self.state.is_running(),
            Control::Resume => self.state == ChannelState::Suspended,
            Control::Abort(_) | Control::Reset(_) => true,
        };
        if self.control.is_some() || !fits {
            return Err(STATUS_INVALID_DEVICE_STATE);
        }
        self.control = Some(control);
        if let Control::Abort(status) | Control::Reset(status) = control {
            self.ending = Some(status);
        }
        Ok(())
    }

    /// Ends a control operation and answers its status.
    pub fn end_control(&mut self, provider: &impl EntryPoints, outcome: ControlOutcome) -> NtStatus {
        let Some(control) = self.control.take() else { return STATUS_INVALID_DEVICE_STATE };
        let status = match (control, outcome) {
            (Control::Suspend, ControlOutcome::Done(last)) => {
                self.observe(last.map_or(0, |last| last.0));
                if self.state.is_running() {
                    self.state = ChannelState::Suspended;
                    self.context_due = self.setup.cache.is_some();
                }
                STATUS_SUCCESS
            }
            (Control::Resume, ControlOutcome::Done(_)) => {
                self.state =
                    if self.ring.outstanding() == 0 { ChannelState::Idle } else { ChannelState::Active };
                STATUS_SUCCESS
            }
            (Control::Abort(ending), ControlOutcome::Done(_)) => {
                self.observe(0);
                self.end_everything(true, ending, ChannelState::Halted);
                STATUS_SUCCESS
            }
            (Control::Reset(ending), ControlOutcome::Done(_)) => {
                self.observe(0);
                self.end_everything(true, ending, ChannelState::Initial);
                STATUS_SUCCESS
            }
            (Control::Abort(_) | Control::Reset(_), ControlOutcome::Failed(status)) => {
                self.statistics.provider_failures = self.statistics.provider_failures.wrapping_add(1);
                // The provider may still be at it. A Halted word ends this state, and nothing else but a stop does.
                if !self.state.needs_start() {
                    self.state = ChannelState::Stopping;
                }
                status
            }
            (_, ControlOutcome::Failed(status)) => {
                self.statistics.provider_failures = self.statistics.provider_failures.wrapping_add(1);
                status
            }
            (_, ControlOutcome::Absent) => {
                self.ending = None;
                netdma_abi::status::STATUS_NOT_SUPPORTED
            }
        };
        self.go_on(provider);
        status
    }

    /// The engine is dead and its provider has promised to touch nothing more: everything accepted ends with `status`.
    pub fn give_up(&mut self, status: NtStatus) {
        self.end_everything(true, status, ChannelState::Halted);
    }

    /// The device leaves D0 with the channel quiet.
    pub fn lose_context(&mut self) {
        self.state = ChannelState::ContextLost;
        self.restart = false;
        self.context_due = self.setup.cache.is_some();
    }

    /// Starts the channel with one NULL descriptor that no client hears of: after D0 (R221), or because a 1.0 provider
    /// asked (R282). A due change of context goes in the same list (R223).
    pub fn rearm(&mut self, provider: &impl EntryPoints) {
        if !self.retired && self.build_silent(null_operation) {
            self.build_context();
            self.post(provider);
        }
    }

    /// Tells the engine whose cache to hint at, as soon as something can be posted (R184, R241, R280). Until then copies
    /// ask for no hints.
    #[cold]
    fn send_context(&mut self, provider: &impl EntryPoints) {
        let wait = matches!(self.state, ChannelState::Suspended | ChannelState::Stopping);
        if !self.open || wait || self.control.is_some() {
            return;
        }
        // What waits goes first, in a list of its own: a change of context at the end of a list cannot ask for an interrupt.
        self.post(provider);
        if self.ring.pending() == 0 && self.build_context() {
            self.post(provider);
        }
    }

    /// Builds the change of context that is due; `false`: none is, or there is no room.
    fn build_context(&mut self) -> bool {
        let Some(target) = self.setup.cache.filter(|_| self.context_due) else { return false };
        let built = self.build_silent(|_| context_operation(target));
        self.context_due = !built;
        built
    }

    /// Builds a descriptor of the interface itself, given its own address; no client hears of it.
    fn build_silent(&mut self, operation: impl FnOnce(u64) -> Operation) -> bool {
        let position = self.ring.built();
        let end = position.wrapping_add(1);
        let Some(own) = self.ring.address(position).filter(|_| self.ring.has_room()) else { return false };
        if self.ring.write(position, &operation(own)).is_none() {
            return false;
        }
        if self.dialect == Dialect::NullTerminated {
            self.link_to_next(position);
        }
        let accepted = self.ring.accept(end, 0, 0, true).is_some();
        self.silent_requests = self.silent_requests.wrapping_add(accepted.into());
        accepted
    }

    /// The flags a client's copy may have now: hints only while the engine knows whose cache (C30, Q28).
    #[must_use]
    pub fn hinted(&self, flags: u32) -> u32 {
        let known = self.setup.cache.is_some() && !self.context_due;
        if known { flags } else { flags & !DESTINATION_DCA_ENABLE }
    }

    /// The engine was reset with copies waiting to be posted: they go without hints, since its context is gone.
    fn withdraw_hints(&mut self) {
        if self.setup.cache.is_none() {
            return;
        }
        self.context_due = true;
        let mut position = self.ring.posted();
        while position != self.ring.built() {
            if let Some(slot) = self.ring.slot(position) {
                slot.clear_flags(DESTINATION_DCA_ENABLE);
            }
            position = position.wrapping_add(1);
        }
    }

    /// A report without a completion on a channel that is not halted: a 1.0 provider wants a fresh start (R282).
    pub fn start_anew(&mut self, provider: &impl EntryPoints) {
        if self.setup.version != Version::V1_0 || !self.state.is_running() || self.control.is_some() {
            return;
        }
        if self.ring.outstanding() == 0 {
            if !self.retired {
                self.state = ChannelState::ContextLost;
                self.rearm(provider);
            }
            return;
        }
        let first = self.ring.done();
        let (Some(slot), Some(address)) = (self.ring.slot(first), self.ring.address(first)) else { return };
        let descriptor = slot.as_descriptor();
        self.arm();
        fence(Ordering::Release);
        let count = self.ring.outstanding() as u32;
        let status = provider.start(self.setup.context, descriptor, PhysicalAddress(address), count);
        if nt_success(status) {
            self.statistics.starts = self.statistics.starts.wrapping_add(1);
            self.statistics.batches = self.statistics.batches.wrapping_add(1);
            self.state = ChannelState::Armed;
        } else {
            self.statistics.provider_failures = self.statistics.provider_failures.wrapping_add(1);
        }
    }
}

/// A descriptor that moves nothing. Its size and addresses are valid all the same (R171): its own slot.
fn null_operation(own: u64) -> Operation {
    Operation {
        size: netdma_abi::descriptor::DESCRIPTOR_SIZE as u32,
        flags: NULL_TRANSFER,
        source: own,
        destination: own,
        next_source: 0,
        next_destination: 0,
    }
}

/// A descriptor that moves nothing and names the processor whose cache later copies hint at (C30).
fn context_operation(target: u8) -> Operation {
    let flags = OP_TYPE_CONTEXT_CHANGE | DCA_CONTEXT_CHANGE;
    Operation { size: target.into(), flags, source: 0, destination: 0, next_source: 0, next_destination: 0 }
}

/// A client's descriptor as we post it, or `None` if it asks for what a client may not ask (client-data-is-untrusted).
fn list_operation(given: &Descriptor, capabilities: &Capabilities, own: u64) -> Option<Operation> {
    const PAGE: u64 = PAGE_SIZE as u64;
    let breaks = if capabilities.page_breaks { SOURCE_PAGE_BREAK | DESTINATION_PAGE_BREAK } else { 0 };
    let allowed = netdma_abi::client::SUBMIT_FLAGS | NULL_TRANSFER | breaks;
    if given.control_flags & !allowed != 0 {
        return None;
    }
    if given.control_flags & NULL_TRANSFER != 0 || given.transfer_size == 0 {
        let flags = given.control_flags & netdma_abi::client::SUBMIT_FLAGS & !DESTINATION_DCA_ENABLE;
        return Some(Operation { flags: flags | NULL_TRANSFER, ..null_operation(own) });
    }
    if given.transfer_size > capabilities.maximum_transfer_size {
        return None;
    }
    let side = |first: PhysicalAddress, second: PhysicalAddress, flag: u32| {
        let length = u64::from(given.transfer_size);
        let to_page_end = PAGE.wrapping_sub(first.0 & (PAGE - 1));
        if given.control_flags & flag == 0 || length <= to_page_end {
            return is_reachable(Run { address: first.0, length }, capabilities);
        }
        second.0 & (PAGE - 1) == 0
            && is_reachable(Run { address: first.0, length: to_page_end }, capabilities)
            && is_reachable(Run { address: second.0, length: length.wrapping_sub(to_page_end) }, capabilities)
    };
    let reachable = side(given.source_address, given.next_source_address, SOURCE_PAGE_BREAK)
        && side(given.destination_address, given.next_destination_address, DESTINATION_PAGE_BREAK);
    reachable.then_some(Operation {
        size: given.transfer_size,
        flags: given.control_flags,
        source: given.source_address.0,
        destination: given.destination_address.0,
        next_source: given.next_source_address.0,
        next_destination: given.next_destination_address.0,
    })
}
