//! Events of this image.

use netdma_events::{Event, Hex, Misuse, Sink};
use nt::sys::GUID;

nt::trace_provider!(
    /// The ETW provider `NetDMA.Interface`.
    TRACE,
    "NetDMA.Interface",
    GUID {
        Data1: 0x6f0c_35a1,
        Data2: 0x8d2e,
        Data3: 0x4b7e,
        Data4: [0x9a, 0x41, 0x5c, 0x1d, 0x7f, 0x2b, 0x90, 0x33],
    }
);

/// Records an event. Any IRQL.
pub fn write(event: Event) {
    TRACE.write(event);
}

/// The exports, numbered as events name them (`CallRefused.function`).
#[derive(Clone, Copy)]
#[repr(u64)]
pub enum Export {
    RegisterProvider = 1,
    DeregisterProvider = 2,
    ProviderStart = 3,
    ProviderStop = 4,
    Isr = 5,
    InterruptDpc = 6,
    PnPEventNotify = 8,
    RegisterClient = 9,
    DeregisterClient = 10,
    EnumerateDmaProviders = 11,
    AllocateChannel = 12,
    FreeChannel = 13,
    ChainCopyVirtualToVirtual = 14,
    ChainCopyPhysicalToVirtual = 15,
    NullTransfer = 16,
    IsDmaCopyComplete = 17,
    FlushPendingDescriptors = 18,
    GetMaxPendingDescriptors = 19,
    SetMaxPendingDescriptors = 20,
    PrefetchNextDescriptor = 21,
    SubmitDescriptorList = 22,
    SuspendChannel = 23,
    ResumeChannel = 24,
    AbortChannel = 25,
    ResetChannel = 26,
    QueryStatistics = 27,
}

/// Records that a caller broke the contract. Any IRQL.
#[cold]
pub fn misuse(misuse: Misuse, export: Export, argument: usize) {
    write(Event::CallRefused { misuse, function: export as u64, argument: Hex(argument as u64) });
}
