//! The functions of netdma.sys that we call, at the IRQL each one demands (spec 2.11).
//!
//! They are imports: netdma.sys is loaded before us or we are not loaded at all, and it always has all eight (Q32).
#![allow(unsafe_code, reason = "calls into another image")]

use netdma_abi::{
    ChannelHandle, NotificationCode, PhysicalAddress, PnpNotification, ProviderAttributes,
    ProviderCharacteristics, ProviderHandle, Version,
};
use nt::irql::{Device, Dispatch, Passive};
use nt::{Result, Status};

use crate::engine::Engine;

mod imports {
    netdma_abi::import_provider_functions!();
}

/// The interface's version.
pub fn version(_irql: &Passive) -> Version {
    // SAFETY: no precondition but the level, which the token gives.
    Version(unsafe { imports::NetDmaGetVersion() })
}

/// Registers an engine; `None` when there is no NetDMA on this system, which answers success and no handle (R40).
///
/// # Errors
/// What the interface reports.
///
/// # Safety
/// The entry points of `characteristics` may be called with `engine` until [`deregister`] has returned.
pub unsafe fn register(
    engine: *const Engine,
    characteristics: &mut ProviderCharacteristics,
    _irql: &Passive,
) -> Result<Option<ProviderHandle>> {
    let mut handle = ProviderHandle::default();
    // SAFETY: handle and table are valid for the call; the caller vouches for the context.
    let status =
        unsafe { imports::NetDmaRegisterProvider(engine.cast_mut().cast(), &mut handle, characteristics) };
    Status::check(status)?;
    Ok((handle != ProviderHandle::default()).then_some(handle))
}

/// Ends a registration (R77: a started provider is stopped first).
pub fn deregister(provider: ProviderHandle, _irql: &Passive) {
    // SAFETY: the handle came from `register`; the interface checks it.
    unsafe { imports::NetDmaDeregisterProvider(provider) };
}

/// Offers the engine's channels. Entry points may be called before this returns (R58).
pub fn start(provider: ProviderHandle, mut attributes: ProviderAttributes, _irql: &Passive) {
    // SAFETY: the handle came from `register`, the attributes are valid for the call.
    unsafe { imports::NetDmaProviderStart(provider, &mut attributes) };
}

/// Takes the channels back: returns when nothing is outstanding and every channel is freed (R72, R73).
pub fn stop(provider: ProviderHandle, _irql: &Passive) {
    // SAFETY: the handle came from `register`; the interface checks it.
    unsafe { imports::NetDmaProviderStop(provider) };
}

/// Reports a power change (R213 to R217). After a power down nothing is outstanding.
pub fn power(provider: ProviderHandle, code: NotificationCode, _irql: &Passive) {
    let mut notification = PnpNotification::power(code);
    // SAFETY: the handle came from `register`, the notification is valid for the call.
    unsafe { imports::NetDmaPnPEventNotify(provider, &mut notification) };
}

/// Reports an interrupt of a channel; gives the processor its DPC belongs on, `fallback` if none is named.
pub fn isr(channel: ChannelHandle, last: u64, fallback: u32, _irql: &Device) -> u32 {
    let mut processor = fallback;
    // SAFETY: the handle is that of an allocated channel, the pointer is to a local.
    unsafe { imports::NetDmaIsr(channel, PhysicalAddress(last), &mut processor) };
    processor
}

/// Reports completions up to the descriptor at `last`, or with zero that the channel stopped (R203, R204). Called
/// with no lock held: the interface may call our entry points from within (R257).
pub fn interrupt_dpc(channel: ChannelHandle, last: u64, _irql: &Dispatch) {
    // SAFETY: the handle is that of a channel that was allocated; the interface checks it.
    unsafe { imports::NetDmaInterruptDpc(channel, PhysicalAddress(last)) };
}
