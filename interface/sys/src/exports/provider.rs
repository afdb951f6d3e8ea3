//! The eight functions that providers call (spec 2.11).

use netdma_abi::notification::PNP_NOTIFICATION_REVISION_1;
use netdma_abi::status::STATUS_UNSUCCESSFUL;
use netdma_abi::{
    ChannelHandle, Context, NotificationCode, NtStatus, PhysicalAddress, PnpNotification, ProviderAttributes,
    ProviderCharacteristics, ProviderHandle, UnicodeString, Version, exports,
};
use netdma_core::registration::{INTERFACE_VERSION, readable_size};
use netdma_events::{Event, Hex, Misuse, Refusal};
use nt::irql::Dispatch;
use nt::object;
use nt::string::Wide;
use nt::sys::UNICODE_STRING;

use super::{passive, read, write};
use crate::trace::{self, Export};
use crate::{channel, provider};

const _: exports::NetDmaRegisterProvider = NetDmaRegisterProvider;
const _: exports::NetDmaDeregisterProvider = NetDmaDeregisterProvider;
const _: exports::NetDmaProviderStart = NetDmaProviderStart;
const _: exports::NetDmaProviderStop = NetDmaProviderStop;
const _: exports::NetDmaIsr = NetDmaIsr;
const _: exports::NetDmaInterruptDpc = NetDmaInterruptDpc;
const _: exports::NetDmaGetVersion = NetDmaGetVersion;
const _: exports::NetDmaPnPEventNotify = NetDmaPnPEventNotify;

/// A table without anything, which the caller's bytes are copied over.
const EMPTY: ProviderCharacteristics = ProviderCharacteristics {
    major_version: 0,
    minor_version: 0,
    size: 0,
    flags: 0,
    physical_device_object: core::ptr::null_mut(),
    max_dma_channel_count: 0,
    set_dma_channel_cpu_affinity: None,
    allocate_dma_channel: None,
    free_dma_channel: None,
    start_dma: None,
    suspend_dma: None,
    resume_dma: None,
    abort_dma: None,
    append_dma: None,
    reset_channel: None,
    friendly_name: UnicodeString::EMPTY,
};

/// See [`exports::NetDmaRegisterProvider`].
///
/// # Safety
/// The handle location may be written; the characteristics are as long as they say, and so is the name they point to; the
/// device object is alive.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaRegisterProvider(
    provider_context: Context,
    provider: *mut ProviderHandle,
    characteristics: *mut ProviderCharacteristics,
) -> NtStatus {
    // A failed registration leaves no handle (R38).
    // SAFETY: the caller says that the location may be written.
    if !unsafe { write(provider, ProviderHandle(0)) }
        || characteristics.is_null()
        || !characteristics.is_aligned()
    {
        trace::write(Event::RegistrationRefused { reason: Refusal::BadPointer, version: Hex(0), detail: 0 });
        return STATUS_UNSUCCESSFUL;
    }
    let Some(mut irql) = passive(Export::RegisterProvider, characteristics.addr()) else {
        return STATUS_UNSUCCESSFUL;
    };
    // SAFETY: the caller says that the table is as long as it says.
    let Some(table) = (unsafe { copy_characteristics(characteristics) }) else { return STATUS_UNSUCCESSFUL };
    let text = (&raw const table.friendly_name).cast::<UNICODE_STRING>();
    // SAFETY: our UNICODE_STRING and the bindings' are one layout; the caller says that the text is as long as it says.
    let name = unsafe { Wide::from_ptr(text) };
    let name = provider::Name::of(name.map_or(&[], |name| name.characters()));
    let device = || {
        // SAFETY: the caller says that the device object is alive.
        unsafe { object::Device::new(table.physical_device_object.cast()) }
    };
    match provider::register(provider_context, &table, name, device, &mut irql) {
        Ok(handle) => {
            // SAFETY: the location was written before.
            unsafe { write(provider, handle) };
            0
        }
        Err(status) => status,
    }
}

/// The table's bytes as far as its version and size let them be read, the rest zero.
///
/// # Safety
/// The pointer is valid for the four bytes of version and size, and for as many bytes as they say.
unsafe fn copy_characteristics(from: *const ProviderCharacteristics) -> Option<ProviderCharacteristics> {
    // SAFETY: the caller says that the first four bytes can be read.
    let [major, minor, low, high] = unsafe { from.cast::<[u8; 4]>().read() };
    let size = u16::from_le_bytes([low, high]);
    let version = Version::new(major, minor);
    match readable_size(version, size) {
        Ok(bytes) => {
            let mut table = EMPTY;
            // SAFETY: at most the structure's size is copied, which the caller says can be read; every pattern of bytes is
            // a value of the structure, since absent functions are zero.
            unsafe {
                core::ptr::copy_nonoverlapping(from.cast::<u8>(), (&raw mut table).cast::<u8>(), bytes);
            }
            Some(table)
        }
        Err(refused) => {
            trace::write(Event::RegistrationRefused {
                reason: refused.reason,
                version: Hex(u64::from(major) << 8 | u64::from(minor)),
                detail: refused.detail,
            });
            None
        }
    }
}

/// See [`exports::NetDmaDeregisterProvider`].
///
/// # Safety
/// None: any handle may be passed.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaDeregisterProvider(provider: ProviderHandle) {
    if let Some(mut irql) = passive(Export::DeregisterProvider, provider.0) {
        provider::deregister(provider, &mut irql);
    }
}

/// See [`exports::NetDmaProviderStart`].
///
/// # Safety
/// The attributes are null or a structure that may be read.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaProviderStart(
    provider: ProviderHandle,
    attributes: *mut ProviderAttributes,
) {
    let Some(mut irql) = passive(Export::ProviderStart, provider.0) else { return };
    // SAFETY: the caller says that it may be read.
    match unsafe { read(attributes) } {
        Some(attributes) => provider::start(provider, &attributes, &mut irql),
        None => trace::misuse(Misuse::WrongState, Export::ProviderStart, attributes.addr()),
    }
}

/// See [`exports::NetDmaProviderStop`].
///
/// # Safety
/// None: any handle may be passed.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaProviderStop(provider: ProviderHandle) {
    if let Some(mut irql) = passive(Export::ProviderStop, provider.0) {
        provider::stop(provider, &mut irql);
    }
}

/// See [`exports::NetDmaIsr`]. The address is not looked at: the DPC that follows reports again (Q31).
///
/// # Safety
/// The processor location is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaIsr(
    channel: ChannelHandle,
    _last_descriptor: PhysicalAddress,
    cpu_number: *mut u32,
) {
    let cpu = channel::isr(channel);
    // SAFETY: the caller says that it may be written.
    unsafe { write(cpu_number, cpu.unwrap_or(0)) };
    if cpu.is_none() {
        trace::misuse(Misuse::BadHandle, Export::Isr, channel.0);
    }
}

/// See [`exports::NetDmaInterruptDpc`].
///
/// # Safety
/// None: any handle and address may be passed.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaInterruptDpc(channel: ChannelHandle, last_descriptor: PhysicalAddress) {
    match Dispatch::check() {
        Some(irql) => channel::interrupt(channel, last_descriptor, &irql),
        None => trace::misuse(Misuse::WrongIrql, Export::InterruptDpc, channel.0),
    }
}

/// See [`exports::NetDmaGetVersion`].
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaGetVersion() -> u32 {
    INTERFACE_VERSION.0
}

/// See [`exports::NetDmaPnPEventNotify`].
///
/// # Safety
/// The notification is null or a structure that may be read.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaPnPEventNotify(
    provider: ProviderHandle,
    notification: *mut PnpNotification,
) {
    let Some(mut irql) = passive(Export::PnPEventNotify, provider.0) else { return };
    // SAFETY: the caller says that it may be read.
    let notice = unsafe { read(notification) }.filter(|notice| {
        notice.structure_revision == PNP_NOTIFICATION_REVISION_1
            && notice.structure_size as usize >= size_of::<PnpNotification>()
    });
    match notice.and_then(|notice| NotificationCode::from_raw(notice.notification_code)) {
        Some(code) => provider::power(provider, code, &mut irql),
        None => trace::misuse(Misuse::BadNotification, Export::PnPEventNotify, notification.addr()),
    }
}
