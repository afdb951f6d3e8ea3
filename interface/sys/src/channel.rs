//! Channels: allocation, what clients and providers do with them, and how they end.
//!
//! An entry of [`CHANNELS`] is never freed memory: a handle is checked by its generation without a lock, and again under the
//! entry's lock, where the live channel says whose it is. Two handles name a channel, one for its client and one for its
//! provider; they differ in kind.

use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use netdma_abi::channel::{CHANNEL_REVISION_2, SIZEOF_CHANNEL_PARAMETERS_REVISION_2};
use netdma_abi::client::{
    CHANNEL_POLLED, ClientChannelHandle, ClientChannelParameters, DEFAULT_RING_SIZE, MAXIMUM_RING_SIZE,
    MINIMUM_RING_SIZE, Statistics,
};
use netdma_abi::provider::CHARACTERISTICS_DCA_SUPPORTED;
use netdma_abi::status::{
    STATUS_DEVICE_NOT_READY, STATUS_DEVICE_REMOVED, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_HANDLE, STATUS_INVALID_PARAMETER, STATUS_IO_DEVICE_ERROR,
    STATUS_SUCCESS, STATUS_UNSUCCESSFUL,
};
use netdma_abi::{ChannelHandle, ChannelParameters, NtStatus, PhysicalAddress, Version, nt_success};
use netdma_core::channel::{Channel, ChannelState, Control, ControlOutcome, Observed, Setup};
use netdma_core::delivery::{self, Delivery, Locked};
use netdma_core::handle::{Entry, Handle, Kind, Table};
use netdma_core::memory::{Request, RingMemory, SLOTS_PER_PAGE};
use netdma_core::policy;
use netdma_core::progress::{Look, Progress};
use netdma_core::provider::EntryPoints;
use netdma_core::statistics::accumulate;
use netdma_core::transfer::Capabilities;
use netdma_events::{Event, Hex, Misuse, Status};
use nt::dma::CommonPage;
use nt::irql::{self, AtMostDispatch, Dispatch, Passive, UpToDispatch};
use nt::lent::Lent;
use nt::pool::{Array, Box};
use nt::spin_lock::SpinLock;
use nt::{processor, thread};

use crate::client::{self, Present};
use crate::drain::drain;
use crate::foreign::{EntryTable, Mark, Teller, UnderLock};
use crate::gate::PAUSE;
use crate::memory::{NoRing, NtRing, TAG};
use crate::provider::{self, Offer, Provider};
use crate::trace::{self, Export};

/// Channels at a time. Our choice: 32 engine functions of 16 channels.
const MAX_CHANNELS: usize = 512;

/// Every channel there is.
pub static CHANNELS: Table<Slot, MAX_CHANNELS> =
    Table::new([const { Entry::new(Slot::new()) }; MAX_CHANNELS]);

/// Where a channel's entry is in its life.
mod phase {
    /// A value of the phase: free, or being allocated.
    pub const NONE: u32 = 0;
    /// A value of the phase: in use.
    pub const LIVE: u32 = 1;
    /// A value of the phase: somebody is retiring it.
    pub const RETIRING: u32 = 2;
    /// Its provider stopped; the client's handle says so until it is freed.
    pub const TOMBSTONE: u32 = 3;
}

/// An entry of the table, in use or not.
pub struct Slot {
    live: SpinLock<Option<Box<Live>>>,
    phase: AtomicU32,
    /// System-wide index of the processor that the provider reported; read by `NetDmaIsr` without a lock.
    cpu: AtomicU32,
    /// `NetDmaIsr` calls.
    interrupts: AtomicU64,
    /// Polls of what was not known to be over.
    polls: AtomicU64,
    /// The page of the completion word, for polls, and what is known of it.
    word: Lent<CommonPage>,
    progress: Progress,
    mark: Mark,
    /// The client's handle value, 0 when free.
    pub owner: AtomicUsize,
    /// The provider's handle value, 0 when free.
    provider: AtomicUsize,
}

/// A channel in use.
struct Live {
    handle: Handle,
    channel: Channel<NtRing>,
    entries: EntryTable,
    teller: Teller,
    provider: &'static Provider,
    provider_handle: Handle,
    client: Handle,
}

/// How a retired channel ends for its client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The client gave it back: the handle is dead.
    Free,
    /// The provider left: the handle answers "device removed" until the client gives it back.
    Tombstone,
}

impl Slot {
    const fn new() -> Self {
        Self {
            live: SpinLock::new(None),
            phase: AtomicU32::new(phase::NONE),
            cpu: AtomicU32::new(0),
            interrupts: AtomicU64::new(0),
            polls: AtomicU64::new(0),
            word: Lent::new(),
            progress: Progress::new(),
            mark: Mark::new(),
            owner: AtomicUsize::new(0),
            provider: AtomicUsize::new(0),
        }
    }

    /// Something with the live channel, under its lock; then delivers what has ended, without it. `None` if the handle's
    /// channel is not there any more.
    #[inline]
    pub fn visit<R>(
        &self,
        handle: Handle,
        irql: &Dispatch,
        act: impl FnOnce(&mut Channel<NtRing>, &UnderLock<'_>) -> R,
    ) -> Option<R> {
        let mut guard = self.live.lock_at_dispatch(irql);
        let live = &mut **guard.as_mut().filter(|live| live.handle == handle)?;
        let numbers = (provider::number(live.provider_handle), number(handle));
        let under_lock = UnderLock { table: &live.entries, mark: &self.mark, numbers, irql };
        let result = act(&mut live.channel, &under_lock);
        if live.channel.took_plainly() {
            return Some(result);
        }
        self.progress.publish(&live.channel);
        let delivery = live.channel.begin_delivery();
        let teller = live.teller;
        drop(guard);
        if let Some(delivery) = delivery {
            self.deliver(handle, delivery, teller, irql);
        }
        Some(result)
    }

    /// The same from any level up to DISPATCH_LEVEL.
    pub fn visit_from<R>(
        &self,
        handle: Handle,
        irql: &mut impl AtMostDispatch,
        act: impl FnOnce(&mut Channel<NtRing>, &UnderLock<'_>) -> R,
    ) -> Option<R> {
        let raised = irql::raise(irql);
        self.visit(handle, &raised, act)
    }

    /// What a poll finds without the lock.
    fn look(&self, handle: Handle, cookie: usize) -> Look {
        let look = |page: &CommonPage| {
            let [word, ..] = page.words();
            // Once more: the entry cannot change hands while its page is lent, so page and progress are this handle's.
            CHANNELS.get(handle).map(|slot| slot.progress.look(word, cookie))
        };
        self.word.visit(look).flatten().unwrap_or(Look::Ask)
    }

    /// The channel's counters with those that are counted without its lock.
    fn counters(&self, channel: &Channel<NtRing>) -> Statistics {
        Statistics {
            interrupts: self.interrupts.load(Ordering::Relaxed),
            polls: self.polls.load(Ordering::Relaxed),
            ..channel.statistics()
        }
    }

    fn deliver(&self, handle: Handle, delivery: Delivery<Array<Request>>, teller: Teller, irql: &Dispatch) {
        delivery::deliver(&At { slot: self, handle, irql }, delivery, |completed| {
            teller.tell(completed, irql)
        });
    }

    /// Claims the retirement of a live channel. Of two that try, one succeeds.
    fn claim_retirement(&self) -> bool {
        self.phase.compare_exchange(phase::LIVE, phase::RETIRING, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// The numbers of provider and client in events.
    fn numbers(&self, handle: Handle, irql: &Dispatch) -> (u64, u64) {
        match self.live.lock_at_dispatch(irql).as_ref().filter(|live| live.handle == handle) {
            Some(live) => (provider::number(live.provider_handle), client::number(live.client)),
            None => (0, 0),
        }
    }

    fn belongs_to(&self, provider: Handle) -> bool {
        self.provider.load(Ordering::Acquire) == provider.value(Kind::Provider)
    }
}

/// A channel behind its lock, for delivery.
struct At<'a> {
    slot: &'a Slot,
    handle: Handle,
    irql: &'a Dispatch,
}

impl Locked for At<'_> {
    type Memory = NtRing;

    fn with<R>(&self, act: impl FnOnce(&mut Channel<NtRing>) -> R) -> Option<R> {
        let mut guard = self.slot.live.lock_at_dispatch(self.irql);
        guard.as_mut().filter(|live| live.handle == self.handle).map(|live| act(&mut live.channel))
    }
}

/// The number of a channel in events.
pub fn number(handle: Handle) -> u64 {
    handle.index() as u64
}

/// Allocates a channel for a client that is let in.
///
/// # Errors
/// INVALID_PARAMETER, DEVICE_NOT_READY without a started provider, INSUFFICIENT_RESOURCES without a free channel or memory,
/// else what the provider answered. Nothing is left behind.
pub fn allocate(
    client: &Present,
    client_value: usize,
    wanted: u32,
    parameters: &mut ClientChannelParameters,
    irql: &mut Passive,
) -> Result<ClientChannelHandle, NtStatus> {
    let ring_size = match parameters.ring_size {
        0 => DEFAULT_RING_SIZE,
        size if size > MAXIMUM_RING_SIZE => return Err(STATUS_INVALID_PARAMETER),
        size => size.max(MINIMUM_RING_SIZE).next_power_of_two(),
    };
    if parameters.flags & !CHANNEL_POLLED != 0 {
        return Err(STATUS_INVALID_PARAMETER);
    }
    let offer = provider::reserve(wanted, irql)?;
    let (provider, provider_handle, provider_id) = (offer.provider, offer.handle, offer.id);
    let result = allocate_from(offer, client, client_value, ring_size, parameters, irql);
    provider.allocated(provider_handle, result.is_ok(), irql);
    match result {
        Ok(handle) => {
            parameters.ring_size = ring_size;
            parameters.provider_id = provider_id;
            trace::write(Event::ChannelAllocated {
                provider: provider::number(provider_handle),
                channel: number(handle),
                client: client::number(client.handle),
                processor: parameters.cpu_number.into(),
            });
            Ok(ClientChannelHandle(handle.value(Kind::ClientChannel)))
        }
        Err(status) => {
            trace::write(Event::ChannelRefused {
                provider: provider::number(provider_handle),
                client: client::number(client.handle),
                status: Status(status),
            });
            Err(status)
        }
    }
}

/// Makes the ring, asks the provider, and puts both into an entry. Whatever fails leaves nothing behind, the adapter of
/// the offer included.
fn allocate_from(
    offer: Offer,
    client: &Present,
    client_value: usize,
    ring_size: u32,
    parameters: &mut ClientChannelParameters,
    irql: &mut Passive,
) -> Result<Handle, NtStatus> {
    let pages = (ring_size as usize).checked_div(SLOTS_PER_PAGE).unwrap_or(1);
    let ring = NtRing::new(&offer.adapter, pages, offer.limits.maximum_address, irql)
        .map_err(|problem| no_ring(problem, offer.handle))?;
    let (handle, slot) = CHANNELS.claim().ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
    let processors = policy::processors_for(offer.flags, parameters.processors);
    let mut asked = ChannelParameters {
        revision: CHANNEL_REVISION_2,
        size: SIZEOF_CHANNEL_PARAMETERS_REVISION_2 as u16,
        flags: 0,
        completion_virtual_address: core::ptr::from_ref(ring.completion_word()).cast_mut().cast(),
        completion_physical_address: PhysicalAddress(ring.completion_address()),
        processor_affinity_mask: policy::legacy_mask(processors),
        channel_priority: parameters.priority,
        cpu_number: 0,
        processor_affinity_mask_ex: processors,
    };
    let answer = {
        let Some(_one_at_a_time) = offer.provider.enter_calls(irql) else {
            CHANNELS.release(handle);
            trace::misuse(Misuse::CallFromProvider, Export::AllocateChannel, client_value);
            return Err(STATUS_INVALID_DEVICE_STATE);
        };
        offer.entries.allocate(&mut asked, ChannelHandle(handle.value(Kind::ProviderChannel)))
    };
    let context = match answer {
        Ok(context) => context,
        Err(status) => {
            // No free call for a failed allocation (R99).
            CHANNELS.release(handle);
            return Err(status);
        }
    };
    let setup = Setup {
        version: offer.version,
        context,
        capabilities: Capabilities {
            maximum_transfer_size: offer.limits.maximum_transfer_size,
            maximum_address: offer.limits.maximum_address,
            page_breaks: offer.version >= Version::V2_0,
        },
        polled: parameters.flags & CHANNEL_POLLED != 0,
        cache: cache_target(offer.flags, asked.cpu_number, irql),
    };
    let teller =
        Teller { context: parameters.channel_context.expose_provenance(), handler: client.completion };
    let (provider, provider_handle, client, entries) =
        (offer.provider, offer.handle, client.handle, offer.entries);
    let live = Channel::new(ring, setup).map_err(|_| STATUS_UNSUCCESSFUL).and_then(|channel| {
        let live = Live { handle, channel, entries, teller, provider, provider_handle, client };
        Box::new(TAG, live).map_err(nt::Status::code)
    });
    let live = match live {
        Ok(live) => live,
        Err(status) => {
            entries.free(context);
            CHANNELS.release(handle);
            return Err(status);
        }
    };
    parameters.cpu_number = asked.cpu_number;
    slot.cpu.store(asked.cpu_number, Ordering::Release);
    slot.interrupts.store(0, Ordering::Relaxed);
    slot.polls.store(0, Ordering::Relaxed);
    slot.owner.store(client_value, Ordering::Release);
    slot.provider.store(offer.handle.value(Kind::Provider), Ordering::Release);
    let page = live.channel.ring().memory().completion_page();
    slot.progress.publish(&live.channel);
    *slot.live.lock(irql) = Some(live);
    // Nothing is lent: the channel before took its page back. If it were, polls would ask under the lock.
    slot.word.lend(page);
    slot.phase.store(phase::LIVE, Ordering::Release);
    if setup.cache.is_some() {
        slot.visit_from(handle, irql, |channel, provider| channel.go_on(provider));
    }
    Ok(handle)
}

/// Whose cache a channel's copies may hint at: its processor's, where the provider has direct cache access and the APIC id
/// fits the 8 bits that providers know (C30, Q24).
fn cache_target(provider_flags: u32, cpu_number: u32, irql: &mut Passive) -> Option<u8> {
    if provider_flags & CHARACTERISTICS_DCA_SUPPORTED == 0 {
        return None;
    }
    let processor = processor::Number::from_index(cpu_number).ok()?;
    u8::try_from(processor.apic_id(irql)).ok()
}

fn no_ring(problem: NoRing, provider: Handle) -> NtStatus {
    match problem {
        NoRing::Memory(status) => status.code(),
        NoRing::OutOfReach => STATUS_INSUFFICIENT_RESOURCES,
        NoRing::Remapped { logical, physical } => {
            trace::write(Event::RemappedMemoryRefused {
                provider: provider::number(provider),
                logical: Hex(logical),
                physical: Hex(physical),
            });
            STATUS_DEVICE_NOT_READY
        }
    }
}

/// The entry of a client's handle, or an error and an event.
#[inline]
fn find(value: ClientChannelHandle, export: Export) -> Result<(Handle, &'static Slot), NtStatus> {
    Handle::parse(Kind::ClientChannel, value.0)
        .and_then(|handle| CHANNELS.get(handle).map(|slot| (handle, slot)))
        .ok_or_else(|| {
            trace::misuse(Misuse::BadHandle, export, value.0);
            STATUS_INVALID_HANDLE
        })
}

/// What a client's call does with its channel. A tombstone answers "device removed".
///
/// # Errors
/// INVALID_HANDLE, INVALID_DEVICE_STATE from within the provider's own entry point, DEVICE_REMOVED of a tombstone.
#[inline]
pub fn call<R>(
    value: ClientChannelHandle,
    export: Export,
    irql: &mut UpToDispatch,
    act: impl FnOnce(&mut Channel<NtRing>, &UnderLock<'_>) -> R,
) -> Result<R, NtStatus> {
    let (handle, slot) = find(value, export)?;
    let raised = irql::raise(irql);
    if slot.mark.is_here(&raised) {
        trace::misuse(Misuse::CallFromProvider, export, value.0);
        return Err(STATUS_INVALID_DEVICE_STATE);
    }
    slot.visit(handle, &raised, act).ok_or(STATUS_DEVICE_REMOVED)
}

/// Whether a copy is over. Looks at the completion word only if that is not known yet, and takes the channel's lock only if
/// the word says something new.
pub fn is_complete(value: ClientChannelHandle, cookie: usize, irql: &mut UpToDispatch) -> bool {
    let Ok((handle, slot)) = find(value, Export::IsDmaCopyComplete) else { return false };
    let raised = irql::raise(irql);
    if slot.mark.is_here(&raised) {
        trace::misuse(Misuse::CallFromProvider, Export::IsDmaCopyComplete, value.0);
        return false;
    }
    match slot.look(handle, cookie) {
        Look::Complete => return true,
        Look::Nothing => {
            slot.polls.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        Look::Ask => {}
    }
    let mut seen = Observed::default();
    let complete = slot.visit(handle, &raised, |channel, provider| {
        if channel.is_complete(cookie) {
            return true;
        }
        slot.polls.fetch_add(1, Ordering::Relaxed);
        seen = channel.observe(0);
        channel.go_on(provider);
        channel.is_complete(cookie)
    });
    slot.report(handle, seen, &raised);
    // A channel that is gone has ended everything.
    complete.unwrap_or(true)
}

impl Slot {
    /// Records what a look found wrong, and takes the engine out of a state that cannot be believed.
    pub fn report(&self, handle: Handle, seen: Observed, irql: &Dispatch) {
        if seen.halted.is_none() && seen.foreign.is_none() {
            return;
        }
        let (provider, _) = self.numbers(handle, irql);
        let channel = number(handle);
        if let Some(word) = seen.foreign {
            trace::write(Event::ForeignCompletion { provider, channel, word: Hex(word) });
            self.recover(handle, irql);
        }
        if let Some(outstanding) = seen.halted {
            let completed = self.visit(handle, irql, |channel, _| {
                channel.ring().memory().completion_word().load(Ordering::Relaxed)
            });
            trace::write(Event::ChannelHalted {
                provider,
                channel,
                completed: Hex(netdma_abi::completion::address(completed.unwrap_or(0))),
                outstanding,
            });
        }
    }

    /// After a nonsense word: reset, else abort; what was in flight ends as an engine error. If the provider can do neither
    /// the channel accepts nothing until it is freed.
    fn recover(&self, handle: Handle, irql: &Dispatch) {
        let stopping =
            |channel: &mut Channel<NtRing>, _: &UnderLock<'_>| channel.state() == ChannelState::Stopping;
        if self.visit(handle, irql, stopping) == Some(true)
            && !nt_success(self.control_at_dispatch(handle, Control::Reset(STATUS_IO_DEVICE_ERROR), irql))
        {
            self.control_at_dispatch(handle, Control::Abort(STATUS_IO_DEVICE_ERROR), irql);
        }
    }

    /// A control operation: claimed under the lock, made without it (D18).
    fn control_at_dispatch(&self, handle: Handle, control: Control, irql: &Dispatch) -> NtStatus {
        let begun = self.begin(handle, control, false, irql);
        match begun {
            Ok((entries, context)) => {
                let outcome = call_control(&entries, context, control);
                self.end(handle, outcome, irql)
            }
            Err(status) => status,
        }
    }

    /// The same from any level up to DISPATCH_LEVEL; the provider is called at the caller's level. `by_client`: only while
    /// the channel is open.
    pub fn control(
        &self,
        handle: Handle,
        control: Control,
        by_client: bool,
        irql: &mut impl AtMostDispatch,
    ) -> NtStatus {
        let begun = {
            let raised = irql::raise(irql);
            self.begin(handle, control, by_client, &raised)
        };
        match begun {
            Ok((entries, context)) => {
                let outcome = call_control(&entries, context, control);
                let raised = irql::raise(irql);
                self.end(handle, outcome, &raised)
            }
            Err(status) => status,
        }
    }

    fn begin(
        &self,
        handle: Handle,
        control: Control,
        by_client: bool,
        irql: &Dispatch,
    ) -> Result<(EntryTable, netdma_core::provider::ChannelContext), NtStatus> {
        self.visit(handle, irql, |channel, provider| {
            if by_client && !channel.is_open() {
                return Err(STATUS_DEVICE_NOT_READY);
            }
            channel.begin_control(control)?;
            Ok((*provider.table, channel.context()))
        })
        .unwrap_or(Err(STATUS_DEVICE_REMOVED))
    }

    fn end(&self, handle: Handle, outcome: ControlOutcome, irql: &Dispatch) -> NtStatus {
        let status = self
            .visit(handle, irql, |channel, provider| channel.end_control(provider, outcome))
            .unwrap_or(STATUS_DEVICE_REMOVED);
        if let ControlOutcome::Failed(status) = outcome {
            let (provider, _) = self.numbers(handle, irql);
            trace::write(Event::ChannelControlFailed {
                provider,
                channel: number(handle),
                status: Status(status),
            });
        }
        status
    }
}

fn call_control(
    entries: &EntryTable,
    context: netdma_core::provider::ChannelContext,
    control: Control,
) -> ControlOutcome {
    let plain = |answer: Option<NtStatus>| match answer {
        None => ControlOutcome::Absent,
        Some(status) if nt_success(status) => ControlOutcome::Done(None),
        Some(status) => ControlOutcome::Failed(status),
    };
    match control {
        Control::Suspend => match entries.suspend(context) {
            None => ControlOutcome::Absent,
            Some(Ok(last)) => ControlOutcome::Done(last),
            Some(Err(status)) => ControlOutcome::Failed(status),
        },
        Control::Resume => plain(entries.resume(context)),
        Control::Abort(_) => plain(entries.abort(context)),
        Control::Reset(_) => plain(entries.reset(context)),
    }
}

/// A client's suspend, resume, abort or reset.
pub fn control(
    value: ClientChannelHandle,
    export: Export,
    control: Control,
    irql: &mut UpToDispatch,
) -> NtStatus {
    match find(value, export) {
        Ok((handle, slot)) => slot.control(handle, control, true, irql),
        Err(status) => status,
    }
}

/// `NetDmaIsr`: loads and stores of atomics, no lock (R206, Q15). Answers the processor for the DPC.
pub fn isr(value: ChannelHandle) -> Option<u32> {
    let handle = Handle::parse(Kind::ProviderChannel, value.0)?;
    let slot = CHANNELS.get(handle)?;
    slot.interrupts.fetch_add(1, Ordering::Relaxed);
    Some(slot.cpu.load(Ordering::Acquire))
}

/// `NetDmaInterruptDpc`.
pub fn interrupt(value: ChannelHandle, last: PhysicalAddress, irql: &Dispatch) {
    let found = Handle::parse(Kind::ProviderChannel, value.0)
        .and_then(|handle| CHANNELS.get(handle).map(|slot| (handle, slot)));
    let Some((handle, slot)) = found else {
        return trace::misuse(Misuse::BadHandle, Export::InterruptDpc, value.0);
    };
    if slot.mark.is_here(irql) {
        return trace::misuse(Misuse::CallFromProvider, Export::InterruptDpc, value.0);
    }
    let seen = slot.visit(handle, irql, |channel, provider| {
        channel.count_dpc();
        let seen = channel.observe(last.0);
        if last.0 == 0 {
            channel.start_anew(provider);
        }
        channel.go_on(provider);
        seen
    });
    match seen {
        Some(seen) => slot.report(handle, seen, irql),
        None => trace::misuse(Misuse::UnexpectedDpc, Export::InterruptDpc, value.0),
    }
}

/// `NetDmaFreeChannel`.
pub fn free_by_client(value: ClientChannelHandle, irql: &mut Passive) -> NtStatus {
    match find(value, Export::FreeChannel) {
        Ok((handle, slot)) => free(handle, slot, irql),
        Err(status) => status,
    }
}

/// Ends a client's claim to a channel, whoever else is ending it.
pub fn free(handle: Handle, slot: &'static Slot, irql: &mut Passive) -> NtStatus {
    while CHANNELS.get(handle).is_some() {
        if slot.claim_retirement() {
            retire(handle, slot, Ending::Free, irql);
            return STATUS_SUCCESS;
        }
        let buried =
            slot.phase.compare_exchange(phase::TOMBSTONE, phase::NONE, Ordering::AcqRel, Ordering::Relaxed);
        if buried.is_ok() {
            bury(handle, slot);
            return STATUS_SUCCESS;
        }
        // Its provider's stop is retiring it.
        thread::sleep(PAUSE, irql);
    }
    STATUS_INVALID_HANDLE
}

fn bury(handle: Handle, slot: &Slot) {
    slot.owner.store(0, Ordering::Release);
    CHANNELS.release(handle);
}

/// Ends a channel whose retirement is claimed: nothing new, what is outstanding ends, the provider takes it back, its memory
/// goes. Answers how many descriptors had to be cut off.
fn retire(handle: Handle, slot: &Slot, ending: Ending, irql: &mut Passive) -> u64 {
    let facts = slot.visit_from(handle, irql, |channel, provider| {
        channel.retire();
        (*provider.table, channel.context())
    });
    let Some((entries, context)) = facts else { return 0 };
    let aborted = drain(handle, slot, irql);
    let parts = {
        let guard = slot.live.lock(irql);
        guard.as_ref().map(|live| (live.provider, live.provider_handle, live.client))
    };
    let Some((provider, provider_handle, client)) = parts else { return aborted };
    {
        let _one_at_a_time = provider.enter_calls(irql);
        entries.free(context);
    }
    // Out of the lock first: memory goes back at PASSIVE_LEVEL, and so does the page that polls look at.
    drop(slot.word.take_back(|| thread::sleep(PAUSE, irql)));
    let live = slot.live.lock(irql).take();
    if let Some(live) = live {
        let counters = slot.counters(&live.channel);
        drop(live);
        provider.freed(provider_handle, &counters, irql);
    }
    slot.provider.store(0, Ordering::Release);
    trace::write(Event::ChannelFreed {
        provider: provider::number(provider_handle),
        channel: number(handle),
        client: client::number(client),
    });
    match ending {
        Ending::Tombstone => slot.phase.store(phase::TOMBSTONE, Ordering::Release),
        Ending::Free => {
            slot.phase.store(phase::NONE, Ordering::Release);
            bury(handle, slot);
        }
    }
    aborted
}

/// Retires every live channel of a provider. Answers how many descriptors had to be cut off.
pub fn retire_all(provider: Handle, irql: &mut Passive) -> u64 {
    let mut aborted = 0u64;
    for (handle, slot) in CHANNELS.iter() {
        if slot.belongs_to(provider) && slot.claim_retirement() {
            aborted = aborted.saturating_add(retire(handle, slot, Ending::Tombstone, irql));
        }
    }
    aborted
}

/// Closes a provider's channels and waits until nothing is outstanding on them (R219). Answers their number.
pub fn power_down_all(provider: Handle, irql: &mut Passive) -> u64 {
    let mut channels = 0u64;
    for (handle, slot) in CHANNELS.iter() {
        if !slot.belongs_to(provider) {
            continue;
        }
        if slot.visit_from(handle, irql, |channel, _| channel.close()).is_some() {
            drain(handle, slot, irql);
            slot.visit_from(handle, irql, |channel, _| channel.lose_context());
            channels = channels.wrapping_add(1);
        }
        // A client that gives it back meanwhile still calls the provider.
        while slot.phase.load(Ordering::Acquire) == phase::RETIRING && slot.belongs_to(provider) {
            thread::sleep(PAUSE, irql);
        }
    }
    channels
}

/// Starts every channel of a provider anew (R221) and lets clients in again. Answers their number.
pub fn power_up_all(provider: Handle, irql: &mut Passive) -> u64 {
    let mut channels = 0u64;
    for (handle, slot) in CHANNELS.iter() {
        let live = slot.belongs_to(provider) && slot.phase.load(Ordering::Acquire) == phase::LIVE;
        let rearmed = live
            && slot
                .visit_from(handle, irql, |channel, provider| {
                    channel.rearm(provider);
                    channel.open();
                })
                .is_some();
        channels = channels.wrapping_add(rearmed.into());
    }
    channels
}

/// A client's view of a channel's counters.
///
/// # Errors
/// INVALID_HANDLE, or DEVICE_REMOVED when the provider is gone.
pub fn statistics(value: ClientChannelHandle, irql: &mut UpToDispatch) -> Result<Statistics, NtStatus> {
    let (_, slot) = find(value, Export::QueryStatistics)?;
    call(value, Export::QueryStatistics, irql, |channel, _| slot.counters(channel))
}

/// Adds the counters of a provider's present channels to `total`.
pub fn add_statistics(provider: Handle, total: &mut Statistics, irql: &mut UpToDispatch) {
    for (handle, slot) in CHANNELS.iter() {
        if slot.belongs_to(provider) {
            slot.visit_from(handle, irql, |channel, _| accumulate(total, &slot.counters(channel)));
        }
    }
}

/// How far a channel is, for drains.
pub struct Standing {
    /// Nothing is outstanding or untold.
    pub quiet: bool,
    /// Everything before this position is done.
    pub done: u64,
    /// Its state.
    pub state: ChannelState,
    /// Descriptors that are not done.
    pub unfinished: u64,
}

impl Slot {
    /// Posts what waits and looks how far the engine is.
    pub fn push(&self, handle: Handle, irql: &mut Passive) -> Option<Standing> {
        let raised = irql::raise(irql);
        let mut seen = Observed::default();
        self.visit(handle, &raised, |channel, provider| {
            seen = channel.observe(0);
            channel.post(provider);
        })?;
        self.report(handle, seen, &raised);
        self.visit(handle, &raised, |channel, _| Standing {
            quiet: channel.is_quiet(),
            done: channel.ring().done(),
            state: channel.state(),
            unfinished: channel.ring().built().wrapping_sub(channel.ring().done()),
        })
    }

    /// Records that a drain cut the rest off.
    pub fn report_cut(&self, handle: Handle, outstanding: u64, irql: &mut Passive) {
        let raised = irql::raise(irql);
        let (provider, client) = self.numbers(handle, &raised);
        trace::write(Event::DrainAborted { provider, channel: number(handle), client, outstanding });
    }
}
