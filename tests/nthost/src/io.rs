//! The I/O manager: driver and device objects, packets, device interfaces, files, interrupts.

pub(crate) mod device;
mod exports;
pub mod file;
pub(crate) mod interface;
pub(crate) mod interrupt;
pub(crate) mod irp;
pub(crate) mod layout;
mod registry;
pub mod service;

use std::collections::BTreeMap;

use crate::guarded::Guarded;
use crate::kernel::Kernel;

pub(crate) use exports::guid;
pub use interface::Guid;
pub(crate) use irp::HostDispatch;

/// What the I/O manager keeps.
#[derive(Debug, Default)]
pub(crate) struct Io {
    pub(crate) irps: Guarded<irp::Irps>,
    pub(crate) drivers: Guarded<BTreeMap<u64, service::Driver>>,
    pub(crate) devices: Guarded<BTreeMap<u64, device::DeviceState>>,
    pub(crate) interfaces: Guarded<interface::Interfaces>,
    pub(crate) files: Guarded<BTreeMap<u64, file::Opened>>,
    pub(crate) interrupts: Guarded<interrupt::Connected>,
    pub(crate) keys: Guarded<registry::Handles>,
    cancel_lock: Guarded<u64>,
}

/// The tables of functions this part of the kernel exports.
pub(crate) fn tables() -> [&'static [&'static crate::export::Export]; 3] {
    [exports::EXPORTS, registry::EXPORTS, interrupt::EXPORTS]
}

/// The low half of a return value: an NTSTATUS, a ULONG.
pub(crate) fn low32(value: u64) -> i32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}

/// An NTSTATUS as the documentation writes it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NtStatus(pub i32);

impl NtStatus {
    /// NT_SUCCESS.
    #[must_use]
    pub const fn is_success(self) -> bool {
        self.0 >= 0
    }
}

impl core::fmt::Debug for NtStatus {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{self}")
    }
}

impl core::fmt::Display for NtStatus {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let name = match self.0 {
            layout::status::SUCCESS => "STATUS_SUCCESS",
            layout::status::PENDING => "STATUS_PENDING",
            layout::status::UNSUCCESSFUL => "STATUS_UNSUCCESSFUL",
            layout::status::INFO_LENGTH_MISMATCH => "STATUS_INFO_LENGTH_MISMATCH",
            layout::status::INVALID_PARAMETER => "STATUS_INVALID_PARAMETER",
            layout::status::NO_SUCH_DEVICE => "STATUS_NO_SUCH_DEVICE",
            layout::status::INVALID_DEVICE_REQUEST => "STATUS_INVALID_DEVICE_REQUEST",
            layout::status::ACCESS_DENIED => "STATUS_ACCESS_DENIED",
            layout::status::BUFFER_TOO_SMALL => "STATUS_BUFFER_TOO_SMALL",
            layout::status::OBJECT_NAME_NOT_FOUND => "STATUS_OBJECT_NAME_NOT_FOUND",
            layout::status::OBJECT_NAME_COLLISION => "STATUS_OBJECT_NAME_COLLISION",
            layout::status::INSUFFICIENT_RESOURCES => "STATUS_INSUFFICIENT_RESOURCES",
            layout::status::DEVICE_NOT_READY => "STATUS_DEVICE_NOT_READY",
            layout::status::NOT_SUPPORTED => "STATUS_NOT_SUPPORTED",
            layout::status::IMAGE_ALREADY_LOADED => "STATUS_IMAGE_ALREADY_LOADED",
            layout::status::CANCELLED => "STATUS_CANCELLED",
            layout::status::INVALID_DEVICE_STATE => "STATUS_INVALID_DEVICE_STATE",
            layout::status::NOT_FOUND => "STATUS_NOT_FOUND",
            layout::status::NO_MORE_ENTRIES => "STATUS_NO_MORE_ENTRIES",
            layout::status::BUFFER_OVERFLOW => "STATUS_BUFFER_OVERFLOW",
            layout::status::DELETE_PENDING => "STATUS_DELETE_PENDING",
            // Statuses that only drivers use (ntstatus.h).
            other => match other.cast_unsigned() {
                0xC000_0008 => "STATUS_INVALID_HANDLE",
                0xC000_0018 => "STATUS_CONFLICTING_ADDRESSES",
                0xC000_009E => "STATUS_DEVICE_POWER_FAILURE",
                0xC000_00B5 => "STATUS_IO_TIMEOUT",
                0xC000_0182 => "STATUS_DEVICE_CONFIGURATION_ERROR",
                0xC000_0185 => "STATUS_IO_DEVICE_ERROR",
                0xC000_0240 => "STATUS_REQUEST_ABORTED",
                0xC000_02B6 => "STATUS_DEVICE_REMOVED",
                _ => return write!(f, "NTSTATUS {other:#010x}"),
            },
        };
        write!(f, "{name} ({:#010x})", self.0)
    }
}

impl core::error::Error for NtStatus {}

impl Kernel {
    /// The system-wide cancel spin lock; returns the IRQL it was taken at.
    pub(crate) fn acquire_cancel_lock(&self) -> u8 {
        let lock = self.io.cancel_lock.with(|lock| *lock);
        let lock = if lock == 0 {
            let fresh = self.system_allocate(8, "the cancel spin lock");
            self.io.cancel_lock.with(|lock| *lock = fresh);
            fresh
        } else {
            lock
        };
        let old = self.raise_irql(crate::cpu::irql::DISPATCH);
        self.take_spin_lock(lock);
        old
    }

    /// Releases the cancel spin lock.
    pub(crate) fn release_cancel_lock(&self, irql: u8) {
        let lock = self.io.cancel_lock.with(|lock| *lock);
        self.drop_spin_lock(lock);
        self.lower_irql(irql);
    }
}
