//! The states of a provider, and its entry points as a trait.

use netdma_abi::{
    ChannelHandle, ChannelParameters, CpuAffinity, Descriptor, NtStatus, PhysicalAddress, client,
};
use netdma_events::Misuse;

/// What a provider may be asked for now (spec 1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum ProviderState {
    /// Registered, not started, or stopped again.
    Stopped = client::PROVIDER_STOPPED,
    /// Channels can be allocated and used.
    Started = client::PROVIDER_STARTED,
    /// Stop waits for outstanding work; nothing new begins.
    Stopping = client::PROVIDER_STOPPING,
    /// Told to power down: channels stay allocated, nothing is accepted.
    PoweredDown = client::PROVIDER_POWERED_DOWN,
}

/// What a provider's driver asks of its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderRequest {
    /// `NetDmaProviderStart`.
    Start,
    /// `NetDmaProviderStop` begins; it ends in [`ProviderState::Stopped`] when every channel is back.
    Stop,
    /// Notice `ProviderPowerDown`.
    PowerDown,
    /// Notice `ProviderPowerUp`.
    PowerUp,
}

impl ProviderState {
    /// The state after a request, or why the request is ignored (Q8). A stop of a stopped provider is ignored in
    /// silence (R81), which the caller sees from the unchanged state.
    ///
    /// # Errors
    /// WRONG_STATE, as a [`Misuse`]: the request does not fit.
    pub fn after(self, request: ProviderRequest) -> Result<Self, Misuse> {
        use ProviderRequest as Ask;
        match (self, request) {
            (Self::Stopped, Ask::Start) | (Self::PoweredDown, Ask::PowerUp) => Ok(Self::Started),
            (Self::Started | Self::PoweredDown, Ask::Stop) => Ok(Self::Stopping),
            (Self::Stopped, Ask::Stop) => Ok(Self::Stopped),
            (Self::Started, Ask::PowerDown) => Ok(Self::PoweredDown),
            _ => Err(Misuse::WrongState),
        }
    }
}

/// What a provider stored at `pProviderChannelContext`: opaque, handed back unchanged (R96).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelContext(pub usize);

/// The nine entry points (spec 2.10). `netdma.sys` implements them over the registered table, tests over a software
/// engine. An optional entry point that the provider lacks answers `None` and is never called (R29).
///
/// IRQL: [`set_channel_affinity`](Self::set_channel_affinity) at PASSIVE_LEVEL, all others at most DISPATCH_LEVEL.
pub trait EntryPoints {
    /// `SetDmaChannelCpuAffinity`.
    fn set_channel_affinity(&self, affinities: &mut [CpuAffinity]) -> Option<NtStatus>;
    /// `AllocateDmaChannel`.
    fn allocate(
        &self,
        parameters: &mut ChannelParameters,
        channel: ChannelHandle,
    ) -> Result<ChannelContext, NtStatus>;
    /// `FreeDmaChannel`.
    fn free(&self, channel: ChannelContext);
    /// `StartDma`.
    fn start(
        &self,
        channel: ChannelContext,
        first: *mut Descriptor,
        address: PhysicalAddress,
        count: u32,
    ) -> NtStatus;
    /// `AppendDma`.
    fn append(
        &self,
        channel: ChannelContext,
        first: *mut Descriptor,
        address: PhysicalAddress,
        count: u32,
    ) -> NtStatus;
    /// `SuspendDma`; on success with the address of the last processed descriptor, if the provider told it.
    fn suspend(&self, channel: ChannelContext) -> Option<Result<Option<PhysicalAddress>, NtStatus>>;
    /// `ResumeDma`.
    fn resume(&self, channel: ChannelContext) -> Option<NtStatus>;
    /// `AbortDma`.
    fn abort(&self, channel: ChannelContext) -> Option<NtStatus>;
    /// `ResetChannel`.
    fn reset(&self, channel: ChannelContext) -> Option<NtStatus>;
}
