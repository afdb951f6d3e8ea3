//! The eight functions that `netdma.sys` exports to providers (spec 2.11), as types, and
//! [`import_provider_functions!`](crate::import_provider_functions) to bind them.

use crate::{
    ChannelHandle, Context, NtStatus, PhysicalAddress, PnpNotification, ProviderAttributes,
    ProviderCharacteristics, ProviderHandle,
};

/// Signature of `NetDmaRegisterProvider` (D10, 1.0). PASSIVE_LEVEL. Stores a handle, or zero when it fails (R38).
/// Success, insufficient resources or unsuccessful.
pub type NetDmaRegisterProvider = unsafe extern "system" fn(
    provider_context: Context,
    provider: *mut ProviderHandle,
    characteristics: *mut ProviderCharacteristics,
) -> NtStatus;

/// Signature of `NetDmaDeregisterProvider` (D11, 1.0). PASSIVE_LEVEL. Implies a stop (R80); the handle is dead afterwards.
pub type NetDmaDeregisterProvider = unsafe extern "system" fn(provider: ProviderHandle);

/// Signature of `NetDmaProviderStart` (D12, 1.0). PASSIVE_LEVEL. Calls may arrive before it returns (R58).
pub type NetDmaProviderStart =
    unsafe extern "system" fn(provider: ProviderHandle, attributes: *mut ProviderAttributes);

/// Signature of `NetDmaProviderStop` (D13, 1.0). PASSIVE_LEVEL. Returns when nothing is outstanding and every channel
/// is freed (R72, R73).
pub type NetDmaProviderStop = unsafe extern "system" fn(provider: ProviderHandle);

/// Signature of `NetDmaIsr` (D14, 1.0). Device IRQL. Stores the processor for the channel's DPC (R201).
pub type NetDmaIsr =
    unsafe extern "system" fn(channel: ChannelHandle, last_descriptor: PhysicalAddress, cpu_number: *mut u32);

/// Signature of `NetDmaInterruptDpc` (D15, 1.0). DISPATCH_LEVEL. The address is that of the last completed descriptor, or
/// 0 for any other reason (R208).
pub type NetDmaInterruptDpc =
    unsafe extern "system" fn(channel: ChannelHandle, last_descriptor: PhysicalAddress);

/// Signature of `NetDmaGetVersion` (D16, 1.1). PASSIVE_LEVEL. `UINT`: major in the high, minor in the low 16 bits.
pub type NetDmaGetVersion = unsafe extern "system" fn() -> u32;

/// Signature of `NetDmaPnPEventNotify` (D17, 1.1). PASSIVE_LEVEL. Only the two power codes (R227).
pub type NetDmaPnPEventNotify =
    unsafe extern "system" fn(provider: ProviderHandle, notification: *mut PnpNotification);

/// Declares the eight provider functions as imports from `netdma.sys`, in the invoking module.
///
/// Needs no import library: the image's import table names `netdma.sys` itself.
#[macro_export]
macro_rules! import_provider_functions {
    () => {
        #[link(name = "netdma.sys", kind = "raw-dylib", modifiers = "+verbatim")]
        unsafe extern "system" {
            /// Registers an engine; see [`netdma_abi::exports::NetDmaRegisterProvider`].
            pub fn NetDmaRegisterProvider(
                provider_context: $crate::Context,
                provider: *mut $crate::ProviderHandle,
                characteristics: *mut $crate::ProviderCharacteristics,
            ) -> $crate::NtStatus;
            /// Ends a registration; see [`netdma_abi::exports::NetDmaDeregisterProvider`].
            pub fn NetDmaDeregisterProvider(provider: $crate::ProviderHandle);
            /// Offers the engine's channels; see [`netdma_abi::exports::NetDmaProviderStart`].
            pub fn NetDmaProviderStart(
                provider: $crate::ProviderHandle,
                attributes: *mut $crate::ProviderAttributes,
            );
            /// Takes them back; see [`netdma_abi::exports::NetDmaProviderStop`].
            pub fn NetDmaProviderStop(provider: $crate::ProviderHandle);
            /// Reports an interrupt; see [`netdma_abi::exports::NetDmaIsr`].
            pub fn NetDmaIsr(
                channel: $crate::ChannelHandle,
                last_descriptor: $crate::PhysicalAddress,
                cpu_number: *mut u32,
            );
            /// Reports completions; see [`netdma_abi::exports::NetDmaInterruptDpc`].
            pub fn NetDmaInterruptDpc(
                channel: $crate::ChannelHandle,
                last_descriptor: $crate::PhysicalAddress,
            );
            /// The interface's version; see [`netdma_abi::exports::NetDmaGetVersion`].
            pub fn NetDmaGetVersion() -> u32;
            /// Reports power changes; see [`netdma_abi::exports::NetDmaPnPEventNotify`].
            pub fn NetDmaPnPEventNotify(
                provider: $crate::ProviderHandle,
                notification: *mut $crate::PnpNotification,
            );
        }
    };
}
