//! The functions of netdma.sys that a provider calls, at the level each one demands (spec 2.11).
#![allow(unsafe_code, reason = "calls into another image")]

use netdma_abi::{
    ChannelHandle, NotificationCode, PhysicalAddress, PnpNotification, ProviderAttributes,
    ProviderCharacteristics, ProviderHandle, Version,
};
use nt::irql::{Dispatch, Passive};
use nt::{Result, Status};

use crate::engine::Engine;

// guide: import
mod imports {
    netdma_abi::import_provider_functions!();
}
// guide: end

/// The interface's version.
pub fn version(_irql: &Passive) -> Version {
    // SAFETY: no precondition but the level, which the token gives.
    Version(unsafe { imports::NetDmaGetVersion() })
}

// guide: register
/// Registers an engine. The processors of its channels may be told before this returns.
///
/// # Errors
/// What the interface reports.
///
/// # Safety
/// The entry points of `table` may be called with `engine` until [`deregister`] has returned.
pub unsafe fn register(
    engine: *const Engine,
    table: &mut ProviderCharacteristics,
    _irql: &Passive,
) -> Result<ProviderHandle> {
    let mut handle = ProviderHandle::default();
    // SAFETY: handle and table are valid for the call; the caller vouches for the context.
    let status = unsafe { imports::NetDmaRegisterProvider(engine.cast_mut().cast(), &mut handle, table) };
    Status::check(status).map(|()| handle)
}
// guide: end

/// Ends a registration, which is stopped first.
pub fn deregister(provider: ProviderHandle, _irql: &Passive) {
    // SAFETY: the handle came from `register`; the interface checks it.
    unsafe { imports::NetDmaDeregisterProvider(provider) };
}

/// Offers the engine's channels. Entry points may be called before this returns.
pub fn start(provider: ProviderHandle, mut attributes: ProviderAttributes, _irql: &Passive) {
    // SAFETY: the handle came from `register`, the attributes are valid for the call.
    unsafe { imports::NetDmaProviderStart(provider, &mut attributes) };
}

/// Takes the channels back: returns when nothing is outstanding and every channel is freed.
pub fn stop(provider: ProviderHandle, _irql: &Passive) {
    // SAFETY: the handle came from `register`; the interface checks it.
    unsafe { imports::NetDmaProviderStop(provider) };
}

/// Reports a power change. After a power down nothing is outstanding.
pub fn power(provider: ProviderHandle, code: NotificationCode, _irql: &Passive) {
    let mut notification = PnpNotification::power(code);
    // SAFETY: the handle came from `register`, the notification is valid for the call.
    unsafe { imports::NetDmaPnPEventNotify(provider, &mut notification) };
}

/// Reports completions up to the descriptor at `last`, or with zero anything else. Called with no lock held, since the
/// interface may call our entry points from within.
pub fn interrupt_dpc(channel: ChannelHandle, last: u64, _irql: &Dispatch) {
    // SAFETY: the handle is that of a channel that was allocated; the interface checks it.
    unsafe { imports::NetDmaInterruptDpc(channel, PhysicalAddress(last)) };
}
