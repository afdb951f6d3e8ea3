//! Base types (spec 2.1): status codes, physical addresses, handles, processor sets, counted strings.

use core::ffi::c_void;

/// `NTSTATUS`: negative means failure. An alias, as in the WDK's own bindings.
#[doc(alias = "NTSTATUS")]
pub type NtStatus = i32;

/// Values of [`NtStatus`] that cross this interface. Numbers are those of `ntstatus.h`.
pub mod status {
    use super::NtStatus;

    const fn code(value: u32) -> NtStatus {
        value.cast_signed()
    }

    /// The call did what it says.
    pub const STATUS_SUCCESS: NtStatus = 0;
    /// A copy was accepted; it completes later. Counts as success.
    pub const STATUS_PENDING: NtStatus = code(0x0000_0103);
    /// The answer of the DDI pages to anything that is not a lack of memory.
    pub const STATUS_UNSUCCESSFUL: NtStatus = code(0xC000_0001);
    /// A handle that names nothing (forged, stale, of another kind).
    pub const STATUS_INVALID_HANDLE: NtStatus = code(0xC000_0008);
    /// An argument is outside its documented range.
    pub const STATUS_INVALID_PARAMETER: NtStatus = code(0xC000_000D);
    /// The caller's buffer cannot hold the answer.
    pub const STATUS_BUFFER_TOO_SMALL: NtStatus = code(0xC000_0023);
    /// No memory, no free channel, or no free ring slot. The pages write "STATUS_RESOURCES", which `ntstatus.h` does
    /// not define; this is the value of `NDIS_STATUS_RESOURCES` (Q2).
    pub const STATUS_INSUFFICIENT_RESOURCES: NtStatus = code(0xC000_009A);
    /// The provider is stopped, stopping or powered down; try again after the matching notice.
    pub const STATUS_DEVICE_NOT_READY: NtStatus = code(0xC000_00A3);
    /// The provider has no such entry point, or the dialect no such operation.
    pub const STATUS_NOT_SUPPORTED: NtStatus = code(0xC000_00BB);
    /// The operation does not fit the channel's present state.
    pub const STATUS_INVALID_DEVICE_STATE: NtStatus = code(0xC000_0184);
    /// The engine ended the copy with an error; destination bytes are undefined.
    pub const STATUS_IO_DEVICE_ERROR: NtStatus = code(0xC000_0185);
    /// The copy was cut off by an abort, a reset or a stop; destination bytes are undefined.
    pub const STATUS_REQUEST_ABORTED: NtStatus = code(0xC000_0240);
    /// The handle was good, but its provider stopped or left.
    pub const STATUS_DEVICE_REMOVED: NtStatus = code(0xC000_02B6);
    /// Something is still registered (answer of `DllUnload`).
    pub const STATUS_DEVICE_BUSY: NtStatus = code(0x8000_0011);
}

/// Whether a status means success (`NT_SUCCESS`).
#[doc(alias = "NT_SUCCESS")]
#[must_use]
pub const fn nt_success(status: NtStatus) -> bool {
    status >= 0
}

/// `PHYSICAL_ADDRESS`: a bus and physical address in bytes. In C a `LARGE_INTEGER`, 8 bytes and 8-byte aligned on x86 and
/// x64; by value it travels in one integer register on x64, in two stack words on x86.
#[doc(alias = "PHYSICAL_ADDRESS")]
#[repr(transparent)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhysicalAddress(
    /// The address in bytes.
    pub u64,
);

/// The handle that [`crate::exports::NetDmaRegisterProvider`] stores: a value, never a pointer. Zero: none, which a
/// provider takes as "no interface here" (Q18).
#[repr(transparent)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProviderHandle(
    /// The value (`PVOID` in C).
    pub usize,
);

/// The interface's channel handle (`NetDmaChannelHandle`) that a provider gets with `AllocateDmaChannel` and gives back
/// to `NetDmaIsr` and `NetDmaInterruptDpc`: a value, never a pointer.
#[repr(transparent)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChannelHandle(
    /// The value (`PVOID` in C).
    pub usize,
);

/// `DEVICE_OBJECT`, opaque here.
#[doc(alias = "DEVICE_OBJECT")]
#[repr(C)]
pub struct DeviceObject {
    _opaque: [u8; 0],
}

/// `MDL`, opaque here.
#[doc(alias = "MDL")]
#[repr(C)]
pub struct Mdl {
    _opaque: [u8; 0],
}

/// `PVOID`: a context that belongs to the other side and is handed back unchanged.
#[doc(alias = "PVOID")]
pub type Context = *mut c_void;

/// `GROUP_AFFINITY`: processors of one group (`wdm.h`).
#[doc(alias = "GROUP_AFFINITY")]
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct GroupAffinity {
    /// Bit n: processor n of the group. Zero: any processor (Q13).
    pub mask: usize,
    /// Processor group.
    pub group: u16,
    /// Zero.
    pub reserved: [u16; 3],
}
assert_layout!(GroupAffinity: size 16, align 8, { mask @ 0, group @ 8, reserved @ 10 });

/// `UNICODE_STRING`: counted UTF-16 text (`ntdef.h`), not necessarily terminated.
#[doc(alias = "UNICODE_STRING")]
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct UnicodeString {
    /// Bytes of text.
    pub length: u16,
    /// Bytes of the buffer.
    pub maximum_length: u16,
    /// The text.
    pub buffer: *mut u16,
}
assert_layout!(UnicodeString: size 16, align 8, { length @ 0, maximum_length @ 2, buffer @ 8 });

impl UnicodeString {
    /// No text.
    pub const EMPTY: Self = Self { length: 0, maximum_length: 0, buffer: core::ptr::null_mut() };
}

/// Bytes of a page: descriptors and page breaks count in this unit whatever the machine (C29).
pub const PAGE_SIZE: usize = 4096;
