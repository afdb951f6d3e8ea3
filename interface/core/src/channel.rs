//! A client's channel: what its lock guards.
//!
//! The story of a copy: [`submit`](Channel::copy) builds descriptors behind the ring's end and accepts them as one request,
//! whose end position is its cookie. When enough requests wait, [`post`](Channel::post) marks the last descriptor to report
//! and hands all of them to the provider in one call. [`observe`](Channel::observe) reads where the engine is, and
//! [`crate::delivery`] tells the client, in order, without the lock.
//!
//! Nothing of it trusts the engine: an address it reports moves the ring only if it names a descriptor in flight.

mod cache;
mod control;
mod list;
mod post;
#[cfg(small_pages)]
mod snapshot;

use netdma_abi::client::Statistics;
use netdma_abi::completion::{self, TransferStatus};
use netdma_abi::descriptor::{DESTINATION_DCA_ENABLE, NULL_TRANSFER};
use netdma_abi::status::{
    STATUS_DEVICE_NOT_READY, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_DEVICE_STATE,
    STATUS_INVALID_PARAMETER, STATUS_IO_DEVICE_ERROR, STATUS_SUCCESS, STATUS_UNSUCCESSFUL,
};
use netdma_abi::{NtStatus, Version};

use crate::delivery;
use crate::memory::{Operation, Request, RingMemory};
use crate::provider::{ChannelContext, EntryPoints};
use crate::registration::Dialect;
use crate::ring::{BadMemory, Named, Ring};
use crate::sync::Ordering;
use crate::transfer::{Begun, Capabilities, Runs, Transfer, TransferError};

pub use control::{Control, ControlOutcome};

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

/// The address of no descriptor.
const NOWHERE: u64 = u64::MAX;

/// The bits by which words that say Active and Idle of one descriptor differ.
const LAST_DONE: u64 = TransferStatus::Active as u64 | TransferStatus::Idle as u64;

/// Positions from `begin` up to `end` may be taken by requests of one descriptor without a look at anything else: there is
/// room, the channel accepts, and none of them makes a batch full. Whatever may change that shuts the window first; a shut one
/// ends at zero.
#[derive(Debug, Default, Clone, Copy)]
struct Window {
    begin: u64,
    end: u64,
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
    /// Requests that wait to be posted, but for those of the window.
    waiting_requests: u32,
    window: Window,
    /// So many bytes fit into one descriptor and are within the engine's reach wherever they begin up to `plain_begin`.
    plain_size: u32,
    plain_begin: u64,
    /// The visit took a copy from the window.
    plain: bool,
    delivering: bool,
    /// Below 2.0: the position whose link ends the engine's list. All others link to the next one.
    tail: u64,
    /// The bus address of the last descriptor posted; [`NOWHERE`] before the first.
    last: u64,
    /// The completion word as it was last seen, or armed.
    seen: u64,
    statistics: Statistics,
}

impl<M: RingMemory> Channel<M> {
    /// A channel that its provider has just allocated.
    ///
    /// # Errors
    /// As [`Ring::new`].
    pub fn new(memory: M, setup: Setup) -> Result<Self, BadMemory> {
        let Capabilities { maximum_address, maximum_transfer_size, .. } = setup.capabilities;
        let plain_begin = maximum_address.checked_sub(u64::from(maximum_transfer_size).saturating_sub(1));
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
            window: Window::default(),
            plain_size: if plain_begin.is_some() { maximum_transfer_size } else { 0 },
            plain_begin: plain_begin.unwrap_or(0),
            plain: false,
            delivering: false,
            tail: 0,
            last: NOWHERE,
            seen: 0,
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
        let Statistics { submitted, starts, appends, .. } = self.statistics;
        Statistics {
            submitted: submitted.wrapping_add(self.taken_from_window()),
            batches: starts.wrapping_add(appends),
            ..self.statistics
        }
    }

    /// The provider reports.
    pub fn count_dpc(&mut self) {
        self.statistics.dpcs = self.statistics.dpcs.wrapping_add(1);
    }

    /// The completion word as it was last seen, or armed.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Whether [`go_on`](Self::go_on) would do something now.
    #[inline]
    #[must_use]
    pub fn owes(&self) -> bool {
        self.context_due && self.takes_context()
            || (self.restart || self.waiting_requests >= self.limit) && !self.is_held()
    }

    /// Whether the last visit was one copy out of the window, which changes nothing but what waits. Asking takes the answer
    /// away.
    #[inline]
    pub fn took_plainly(&mut self) -> bool {
        core::mem::take(&mut self.plain)
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
        self.close();
        self.retired = true;
    }

    /// Refuses further requests. Those accepted go on.
    pub fn close(&mut self) {
        self.shut_window();
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
        self.ring.is_empty() && !self.delivering && self.control.is_none()
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
        self.shut_window();
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
    /// Most copies are one descriptor between two contiguous pieces, and do not fill a batch; that case is straight code.
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
        let simple = to.length >= wanted
            && from.length >= wanted
            && length.wrapping_sub(1) < self.plain_size
            && to.address.max(from.address) <= self.plain_begin;
        if simple && self.ring.built() < self.window.end {
            let cookie = self.ring.accept_plain(length, flags, from.address, to.address, context);
            self.plain = true;
            return cookie.ok_or(STATUS_UNSUCCESSFUL);
        }
        let answer = if simple {
            self.copy_plain(provider, to.address, from.address, length, flags, context)
        } else {
            let (destination, source) = (Begun(to, destination), Begun(from, source));
            self.copy_pieces(provider, destination, source, length, flags, context)
        };
        // Taken apart, so that the answer above stays in registers: these two answer through memory.
        match answer {
            Ok(cookie) => Ok(cookie),
            Err(status) => Err(status),
        }
    }

    /// A copy of one descriptor between two contiguous pieces, outside the window.
    #[inline(never)]
    fn copy_plain(
        &mut self,
        provider: &impl EntryPoints,
        to: u64,
        from: u64,
        length: u32,
        flags: u32,
        context: usize,
    ) -> Result<u64, NtStatus> {
        self.check_accepts()?;
        if !self.ring.has_room() {
            return self.refuse_full(provider);
        }
        self.shut_window();
        let cookie = self.ring.accept_plain(length, flags, from, to, context).ok_or(STATUS_UNSUCCESSFUL)?;
        self.accepted(provider);
        Ok(cookie)
    }

    /// Whether the channel takes requests at all.
    #[inline]
    fn check_accepts(&self) -> Result<(), NtStatus> {
        if !self.open {
            return Err(STATUS_DEVICE_NOT_READY);
        }
        if self.state == ChannelState::Stopping {
            return Err(STATUS_INVALID_DEVICE_STATE);
        }
        Ok(())
    }

    /// Requests taken from the window since it was opened.
    #[inline]
    fn taken_from_window(&self) -> u64 {
        if self.window.end == 0 { 0 } else { self.ring.built().wrapping_sub(self.window.begin) }
    }

    /// What the window gave is counted, and the next request looks at everything again.
    #[inline]
    fn shut_window(&mut self) {
        if self.window.end == 0 {
            return;
        }
        let taken = self.taken_from_window();
        self.window = Window::default();
        self.waiting_requests = self.waiting_requests.wrapping_add(taken as u32);
        self.statistics.submitted = self.statistics.submitted.wrapping_add(taken);
    }

    /// As many requests as fit below the limit and into the ring, for a channel that was just seen to accept.
    #[inline]
    fn open_window(&mut self) {
        let below = self.limit.wrapping_sub(1).saturating_sub(self.waiting_requests);
        if below == 0 {
            return;
        }
        let (begin, room) = (self.ring.built(), self.ring.room());
        self.window = Window { begin, end: begin.wrapping_add(room.min(below.into())) };
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
        self.statistics.submitted = self.statistics.submitted.wrapping_add(1);
        self.waiting_requests = self.waiting_requests.wrapping_add(1);
        if self.waiting_requests >= self.limit {
            self.post(provider);
        }
        if self.state != ChannelState::Stopping {
            self.open_window();
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
        self.check_accepts()?;
        self.shut_window();
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
            end = end.wrapping_add(1);
        }
        if end == begin {
            // A copy of no bytes.
            return Err(STATUS_INVALID_PARAMETER);
        }
        let request = Request { context, bytes, status: STATUS_SUCCESS };
        self.ring.accept(end, request).ok_or(STATUS_UNSUCCESSFUL)?;
        self.accepted(provider);
        Ok(end)
    }

    /// No room: post what waits, so that room will come even if the client's limit is larger than the ring.
    #[cold]
    fn refuse_full(&mut self, provider: &impl EntryPoints) -> Result<u64, NtStatus> {
        self.statistics.ring_full = self.statistics.ring_full.wrapping_add(1);
        self.post(provider);
        Err(STATUS_INSUFFICIENT_RESOURCES)
    }

    /// Looks at the completion word, which is the truth (Q7). An address that the provider reported (0: none) is only checked to
    /// be ours: it may have been read long ago, on a virtual machine by more than a lap of the ring, and then the same address
    /// is a descriptor in flight again. The last descriptor of each post writes the word before it interrupts, so nothing is
    /// lost. Bounded by the ring.
    #[inline]
    pub fn observe(&mut self, reported: u64) -> Observed {
        // Acquire: the data of finished descriptors is read after the word that says so (R154).
        let word = self.ring.memory().completion_word().load(Ordering::Acquire);
        let told = completion::address(reported);
        let mut seen = if word == self.seen {
            Observed::default()
        } else if word & !LAST_DONE == self.last && self.state.is_running() {
            self.finish(word)
        } else {
            self.read(word)
        };
        if told != 0 && told != completion::address(word) && self.ring.name(told) == Named::Foreign {
            seen.foreign = Some(reported);
        }
        if seen.foreign.is_some() {
            self.statistics.foreign_addresses = self.statistics.foreign_addresses.wrapping_add(1);
        }
        seen
    }

    /// The word names the last descriptor posted, as it mostly does: what [`read`](Self::read) would find the long way.
    #[inline]
    fn finish(&mut self, word: u64) -> Observed {
        self.seen = word;
        let finished = self.ring.finish();
        if finished != 0 {
            self.state = ChannelState::Idle;
        }
        Observed { finished, ..Observed::default() }
    }

    /// A word that was not seen before. One that was says nothing: while it stands, the engine has done nothing more, and a
    /// start sets it anew (see the module [`ring`](crate::ring) for why it cannot name a later lap).
    fn read(&mut self, word: u64) -> Observed {
        let mut seen = Observed::default();
        let status = TransferStatus::of(word);
        if status.is_none() {
            seen.foreign = Some(word);
        } else if word > completion::ADDRESS_FREE_BITS && status != Some(TransferStatus::Armed) {
            let before = self.ring.done();
            if self.ring.read_word(completion::address(word)) == Named::Foreign {
                seen.foreign = Some(word);
            }
            seen.finished = self.ring.done().wrapping_sub(before);
        }
        if seen.foreign.is_some() {
            self.distrust();
        } else {
            self.seen = word;
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
            self.shut_window();
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
        self.shut_window();
        self.ring.fail(pending, status);
        // What told the engine its context may be among what has ended: what still waits asks for no hints.
        self.withdraw_hints();
        if pending {
            self.waiting_requests = 0;
            self.restart = false;
        }
        self.state = state;
    }

    /// Posts what a state that has just ended kept back.
    #[inline]
    pub fn go_on(&mut self, provider: &impl EntryPoints) {
        if self.context_due {
            self.send_context(provider);
        }
        // What the window gave does not make a batch full.
        if self.restart || self.waiting_requests >= self.limit {
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

    #[inline]
    pub(crate) fn take_done(&mut self, room: &mut [Request]) -> (u64, usize) {
        let (first, count) = self.ring.take_done(room);
        delivery::count(room.get(..count).unwrap_or_default(), &mut self.statistics);
        (first, count)
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
