//! How the image comes to life and leaves. Windows calls `DllInitialize` when a driver that imports from the image is
//! loaded, `DriverEntry` when the image's service is started, and nothing before the first call of an export can be
//! relied on; so all of them lead to [`init`], which does its work once (D1).
#![allow(unsafe_code, reason = "C entry points")]

use core::sync::atomic::{AtomicBool, Ordering};

use netdma_abi::NtStatus;
use netdma_abi::status::{STATUS_DEVICE_BUSY, STATUS_SUCCESS};
use netdma_events::Event;
use nt::irql::Passive;
use nt::registry::Key;
use nt::string::Wide;
use nt::sys::{DRIVER_OBJECT, UNICODE_STRING};

use crate::client::{self, CLIENTS};
use crate::drain;
use crate::provider::{self, PROVIDERS};
use crate::trace::{self, TRACE};

static INITIALISED: AtomicBool = AtomicBool::new(false);

/// Registers for tracing, once. Everything else needs no initialisation.
pub fn init(irql: &Passive) {
    if !INITIALISED.swap(true, Ordering::AcqRel) {
        TRACE.register(irql);
        trace::write(Event::InterfaceLoaded {});
    }
}

/// Settings from the service's Parameters key; absent ones keep their defaults.
fn read_settings(service: Wide<'_>, irql: &Passive) {
    let limit = Key::open(service, irql)
        .and_then(|key| key.subkey(nt::wide!("Parameters"), irql))
        .and_then(|parameters| parameters.dword(nt::wide!("DrainLimitMilliseconds"), irql));
    if let Ok(milliseconds) = limit
        && !drain::set_limit(milliseconds)
    {
        trace::write(Event::DrainLimitIgnored { value: milliseconds.into() });
    }
}

/// The service's start. No unload routine is set: the image leaves by `DllUnload` or not at all.
///
/// # Safety
/// Called by the system at PASSIVE_LEVEL with the service's registry path.
#[unsafe(export_name = "DriverEntry")]
pub unsafe extern "system" fn driver_entry(
    _driver: *mut DRIVER_OBJECT,
    registry_path: *const UNICODE_STRING,
) -> NtStatus {
    // SAFETY: the system says so, and passes a string that lives through the call.
    unsafe { initialize(registry_path) }
}

/// The image was loaded because a driver imports from it.
///
/// # Safety
/// Called by the system at PASSIVE_LEVEL with the service's registry path.
#[unsafe(export_name = "DllInitialize")]
pub unsafe extern "system" fn dll_initialize(registry_path: *const UNICODE_STRING) -> NtStatus {
    // SAFETY: the system says so, and passes a string that lives through the call.
    unsafe { initialize(registry_path) }
}

/// # Safety
/// At PASSIVE_LEVEL; the path is null or a string that lives through the call.
unsafe fn initialize(registry_path: *const UNICODE_STRING) -> NtStatus {
    // SAFETY: the caller says so; both entry points are called at the bottom of a thread's stack of tokens.
    let irql = unsafe { Passive::assume() };
    init(&irql);
    // SAFETY: the caller says so.
    if let Some(path) = unsafe { Wide::from_ptr(registry_path) } {
        read_settings(path, &irql);
    }
    STATUS_SUCCESS
}

/// The last importer has left: may the image go? Not while anything is registered; what is, is never called again.
///
/// # Safety
/// Called by the system at PASSIVE_LEVEL.
#[unsafe(export_name = "DllUnload")]
pub unsafe extern "system" fn dll_unload() -> NtStatus {
    // SAFETY: the system calls this at PASSIVE_LEVEL.
    let mut irql = unsafe { Passive::assume() };
    let (providers, clients) = (PROVIDERS.iter().count() as u64, CLIENTS.iter().count() as u64);
    if providers != 0 || clients != 0 {
        // Whoever registered is not there any more: no image is left that imports from this one.
        provider::abandon_all(&mut irql);
        client::abandon_all(&mut irql);
        trace::write(Event::UnloadRefused { providers, clients });
        return STATUS_DEVICE_BUSY;
    }
    trace::write(Event::InterfaceUnloaded {});
    TRACE.unregister(&irql);
    INITIALISED.store(false, Ordering::Release);
    STATUS_SUCCESS
}
