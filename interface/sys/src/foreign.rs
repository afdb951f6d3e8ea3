//! The calls into foreign code: a provider's entry points, a client's callbacks.
#![allow(unsafe_code, reason = "the calls through C function pointers that others registered")]

use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, Ordering};

use netdma_abi::client::{ClientCompletionHandler, ClientEventHandler};
use netdma_abi::provider::{
    AbortDma, AllocateDmaChannel, AppendDma, FreeDmaChannel, LAST_DESCRIPTOR_PRESET, LastDescriptor,
    ResetChannel, ResumeDma, SetDmaChannelCpuAffinity, StartDma, SuspendDma, decode_last_descriptor,
};
use netdma_abi::{
    ChannelHandle, ChannelParameters, Context, CpuAffinity, Descriptor, NotificationCode, NtStatus,
    PhysicalAddress, ProviderCharacteristics, nt_success,
};
use netdma_core::delivery::Completed;
use netdma_core::provider::{ChannelContext, EntryPoints};
use netdma_events::{Event, Status};
use nt::irql::{Dispatch, Passive};
use nt::processor;

use crate::trace;

/// The entry points of a registered provider with its context. Exists only with all mandatory ones.
#[derive(Clone, Copy)]
pub struct EntryTable {
    /// The registered context, as a number: it belongs to the provider.
    context: usize,
    set_affinity: Option<SetDmaChannelCpuAffinity>,
    allocate: AllocateDmaChannel,
    free: FreeDmaChannel,
    start: StartDma,
    append: AppendDma,
    suspend: Option<SuspendDma>,
    resume: Option<ResumeDma>,
    abort: Option<AbortDma>,
    reset: Option<ResetChannel>,
}

impl EntryTable {
    /// The table of checked characteristics.
    pub fn new(context: Context, table: &ProviderCharacteristics) -> Option<Self> {
        Some(Self {
            context: context.expose_provenance(),
            set_affinity: table.set_dma_channel_cpu_affinity,
            allocate: table.allocate_dma_channel?,
            free: table.free_dma_channel?,
            start: table.start_dma?,
            append: table.append_dma?,
            suspend: table.suspend_dma,
            resume: table.resume_dma,
            abort: table.abort_dma,
            reset: table.reset_channel,
        })
    }
}

/// The other side's pointer again: what it gave is what it gets (R33, R96).
fn pointer(context: usize) -> Context {
    core::ptr::with_exposed_provenance_mut(context)
}

impl EntryPoints for EntryTable {
    fn set_channel_affinity(&self, affinities: &mut [CpuAffinity]) -> Option<NtStatus> {
        let entry = self.set_affinity?;
        let bytes = u32::try_from(size_of_val(affinities)).ok()?;
        // SAFETY: the provider registered this function for this context and these arguments (D1); the array lives
        // through the call, and registration calls it at PASSIVE_LEVEL.
        Some(unsafe { entry(pointer(self.context), affinities.as_mut_ptr(), bytes) })
    }

    fn allocate(
        &self,
        parameters: &mut ChannelParameters,
        channel: ChannelHandle,
    ) -> Result<ChannelContext, NtStatus> {
        let mut context: *mut c_void = core::ptr::null_mut();
        // SAFETY: the provider registered this function for this context and these arguments (D2); both pointers are to
        // locals of the callers, and allocation calls it at PASSIVE_LEVEL.
        let status = unsafe { (self.allocate)(pointer(self.context), parameters, channel, &mut context) };
        if nt_success(status) { Ok(ChannelContext(context.expose_provenance())) } else { Err(status) }
    }

    fn free(&self, channel: ChannelContext) {
        // SAFETY: the context is that of an allocation which has not been freed: retirement frees once, when the channel is
        // quiet and nothing can call the provider for it any more (D3).
        unsafe { (self.free)(pointer(channel.0)) }
    }

    fn start(
        &self,
        channel: ChannelContext,
        first: *mut Descriptor,
        address: PhysicalAddress,
        count: u32,
    ) -> NtStatus {
        // SAFETY: the context is that of a channel which is not freed, since its lock is held; descriptor and address are the
        // same slot of its ring, which lives as long (D4).
        unsafe { (self.start)(pointer(channel.0), first, address, count) }
    }

    fn append(
        &self,
        channel: ChannelContext,
        first: *mut Descriptor,
        address: PhysicalAddress,
        count: u32,
    ) -> NtStatus {
        // SAFETY: as for `start` (D5).
        unsafe { (self.append)(pointer(channel.0), first, address, count) }
    }

    fn suspend(&self, channel: ChannelContext) -> Option<Result<Option<PhysicalAddress>, NtStatus>> {
        let entry = self.suspend?;
        let mut slot = LAST_DESCRIPTOR_PRESET;
        // SAFETY: the context is that of a channel which is not freed, since its control state is claimed; the slot has room
        // for either thing that a provider may store (D6, Q7).
        let status = unsafe { entry(pointer(channel.0), (&raw mut slot).cast()) };
        if !nt_success(status) {
            return Some(Err(status));
        }
        let last = match decode_last_descriptor(slot) {
            LastDescriptor::NotReported => None,
            LastDescriptor::Address(address) => Some(address),
            LastDescriptor::Pointer(at) => {
                let at = core::ptr::with_exposed_provenance::<PhysicalAddress>(at as usize);
                // SAFETY: a provider of the header's own type stores a pointer to the address (Q7); it is a kernel pointer,
                // which the decoding made sure of, and the provider answers for its being valid.
                Some(unsafe { at.read_unaligned() })
            }
        };
        Some(Ok(last))
    }

    fn resume(&self, channel: ChannelContext) -> Option<NtStatus> {
        // SAFETY: the context is that of a channel which is not freed, since its control state is claimed (D7).
        self.resume.map(|entry| unsafe { entry(pointer(channel.0)) })
    }

    fn abort(&self, channel: ChannelContext) -> Option<NtStatus> {
        // SAFETY: as for `resume` (D8).
        self.abort.map(|entry| unsafe { entry(pointer(channel.0)) })
    }

    fn reset(&self, channel: ChannelContext) -> Option<NtStatus> {
        // SAFETY: as for `resume`, or the channel's lock is held (D9).
        self.reset.map(|entry| unsafe { entry(pointer(channel.0)) })
    }
}

/// The entry points as they are called with a channel's lock held. Marks the processor meanwhile, so that a provider which
/// calls the interface from within is answered instead of spinning on its own lock (D11).
pub struct UnderLock<'a> {
    /// The table.
    pub table: &'a EntryTable,
    /// The channel's mark.
    pub mark: &'a Mark,
    /// The numbers of provider and channel in events.
    pub numbers: (u64, u64),
    /// The level that the lock brings.
    pub irql: &'a Dispatch,
}

/// Which processor is inside a provider's entry point with the lock held.
pub struct Mark(AtomicU32);

impl Mark {
    /// Nobody.
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Whether this processor is inside.
    #[inline]
    pub fn is_here(&self, irql: &Dispatch) -> bool {
        let marked = self.0.load(Ordering::Relaxed);
        marked != 0 && marked == processor::current(irql).wrapping_add(1)
    }

    fn during(&self, irql: &Dispatch, call: impl FnOnce() -> NtStatus) -> NtStatus {
        self.0.store(processor::current(irql).wrapping_add(1), Ordering::Relaxed);
        let status = call();
        self.0.store(0, Ordering::Relaxed);
        status
    }
}

impl UnderLock<'_> {
    /// Says what was handed to the provider, to whoever listens that closely, or that the provider did not take it.
    #[inline]
    fn trace_post(&self, status: NtStatus, count: u32, start: bool) {
        let ((provider, channel), descriptors) = (self.numbers, u64::from(count));
        if nt_success(status) {
            trace::write(Event::BatchPosted { channel, descriptors, start: start.into() });
        } else {
            trace::write(Event::PostFailed { provider, channel, status: Status(status), descriptors });
        }
    }
}

impl EntryPoints for UnderLock<'_> {
    fn set_channel_affinity(&self, affinities: &mut [CpuAffinity]) -> Option<NtStatus> {
        self.table.set_channel_affinity(affinities)
    }

    fn allocate(
        &self,
        parameters: &mut ChannelParameters,
        channel: ChannelHandle,
    ) -> Result<ChannelContext, NtStatus> {
        self.table.allocate(parameters, channel)
    }

    fn free(&self, channel: ChannelContext) {
        self.table.free(channel);
    }

    fn start(
        &self,
        channel: ChannelContext,
        first: *mut Descriptor,
        address: PhysicalAddress,
        count: u32,
    ) -> NtStatus {
        let status = self.mark.during(self.irql, || self.table.start(channel, first, address, count));
        self.trace_post(status, count, true);
        status
    }

    fn append(
        &self,
        channel: ChannelContext,
        first: *mut Descriptor,
        address: PhysicalAddress,
        count: u32,
    ) -> NtStatus {
        let status = self.mark.during(self.irql, || self.table.append(channel, first, address, count));
        self.trace_post(status, count, false);
        status
    }

    fn suspend(&self, channel: ChannelContext) -> Option<Result<Option<PhysicalAddress>, NtStatus>> {
        self.table.suspend(channel)
    }

    fn resume(&self, channel: ChannelContext) -> Option<NtStatus> {
        self.table.resume(channel)
    }

    fn abort(&self, channel: ChannelContext) -> Option<NtStatus> {
        self.table.abort(channel)
    }

    fn reset(&self, channel: ChannelContext) -> Option<NtStatus> {
        let mut answer = None;
        self.mark.during(self.irql, || {
            answer = self.table.reset(channel);
            0
        });
        answer
    }
}

/// A client's event callback with its context.
#[derive(Clone, Copy)]
pub struct EventCallback {
    /// The registered context: any value.
    pub context: usize,
    /// The function.
    pub handler: ClientEventHandler,
}

impl EventCallback {
    /// Tells the client.
    pub fn call(&self, code: NotificationCode, provider_id: u32, _irql: &mut Passive) {
        // SAFETY: the client registered this function for this context; its rundown is entered, so it has not finished
        // deregistering, and the token gives the level that the callback is promised, with no lock held.
        unsafe { (self.handler)(pointer(self.context), code as u32, provider_id) }
    }
}

/// Who is told of a channel's completions.
#[derive(Clone, Copy)]
pub struct Teller {
    /// The channel's context at its client.
    pub context: usize,
    /// The function, if the client does not only poll.
    pub handler: Option<ClientCompletionHandler>,
}

impl Teller {
    /// Tells the client that a request ended.
    #[inline]
    pub fn tell(&self, completed: Completed, _irql: &Dispatch) {
        if let Some(handler) = self.handler {
            // SAFETY: the client registered this function; the right to deliver is held, and a channel is not retired, nor
            // its client deregistered, while somebody holds it. The token gives the promised level; no lock is held.
            unsafe {
                handler(
                    pointer(self.context),
                    completed.cookie as usize,
                    pointer(completed.context),
                    completed.status,
                );
            }
        }
    }
}
