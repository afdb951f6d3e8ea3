//! Constants, with the types bindgen gives them: `u32` for macros, `NTSTATUS` for the status codes that the real
//! crate writes out by hand.

#![allow(missing_docs, non_upper_case_globals)]

use crate::types::*;

/// A status code from its customary hexadecimal form.
const fn status(code: u32) -> NTSTATUS {
    code as NTSTATUS
}

// ntstatus.h
pub const STATUS_SUCCESS: NTSTATUS = 0;
pub const STATUS_TIMEOUT: NTSTATUS = 0x102;
pub const STATUS_PENDING: NTSTATUS = 0x103;
pub const STATUS_BUFFER_OVERFLOW: NTSTATUS = status(0x8000_0005);
pub const STATUS_DEVICE_BUSY: NTSTATUS = status(0x8000_0011);
pub const STATUS_NO_MORE_ENTRIES: NTSTATUS = status(0x8000_001A);
pub const STATUS_UNSUCCESSFUL: NTSTATUS = status(0xC000_0001);
pub const STATUS_NOT_IMPLEMENTED: NTSTATUS = status(0xC000_0002);
pub const STATUS_INFO_LENGTH_MISMATCH: NTSTATUS = status(0xC000_0004);
pub const STATUS_ACCESS_VIOLATION: NTSTATUS = status(0xC000_0005);
pub const STATUS_INVALID_HANDLE: NTSTATUS = status(0xC000_0008);
pub const STATUS_INVALID_PARAMETER: NTSTATUS = status(0xC000_000D);
pub const STATUS_NO_SUCH_DEVICE: NTSTATUS = status(0xC000_000E);
pub const STATUS_INVALID_DEVICE_REQUEST: NTSTATUS = status(0xC000_0010);
pub const STATUS_MORE_PROCESSING_REQUIRED: NTSTATUS = status(0xC000_0016);
pub const STATUS_NO_MEMORY: NTSTATUS = status(0xC000_0017);
pub const STATUS_ACCESS_DENIED: NTSTATUS = status(0xC000_0022);
pub const STATUS_BUFFER_TOO_SMALL: NTSTATUS = status(0xC000_0023);
pub const STATUS_OBJECT_TYPE_MISMATCH: NTSTATUS = status(0xC000_0024);
pub const STATUS_OBJECT_NAME_NOT_FOUND: NTSTATUS = status(0xC000_0034);
pub const STATUS_OBJECT_NAME_COLLISION: NTSTATUS = status(0xC000_0035);
pub const STATUS_DATA_ERROR: NTSTATUS = status(0xC000_003E);
pub const STATUS_REVISION_MISMATCH: NTSTATUS = status(0xC000_0059);
pub const STATUS_INSUFFICIENT_RESOURCES: NTSTATUS = status(0xC000_009A);
pub const STATUS_DEVICE_NOT_CONNECTED: NTSTATUS = status(0xC000_009D);
pub const STATUS_DEVICE_NOT_READY: NTSTATUS = status(0xC000_00A3);
pub const STATUS_IO_TIMEOUT: NTSTATUS = status(0xC000_00B5);
pub const STATUS_NOT_SUPPORTED: NTSTATUS = status(0xC000_00BB);
pub const STATUS_INTERNAL_ERROR: NTSTATUS = status(0xC000_00E5);
pub const STATUS_CANCELLED: NTSTATUS = status(0xC000_0120);
pub const STATUS_IO_DEVICE_ERROR: NTSTATUS = status(0xC000_0185);
pub const STATUS_DEVICE_PROTOCOL_ERROR: NTSTATUS = status(0xC000_0186);
pub const STATUS_INVALID_DEVICE_STATE: NTSTATUS = status(0xC000_0184);
pub const STATUS_INTEGER_OVERFLOW: NTSTATUS = status(0xC000_0095);
pub const STATUS_NOT_FOUND: NTSTATUS = status(0xC000_0225);
pub const STATUS_DEVICE_CONFIGURATION_ERROR: NTSTATUS = status(0xC000_0182);
pub const STATUS_DEVICE_DOES_NOT_EXIST: NTSTATUS = status(0xC000_00C0);
pub const STATUS_DEVICE_REMOVED: NTSTATUS = status(0xC000_02B6);
pub const STATUS_DELETE_PENDING: NTSTATUS = status(0xC000_0056);
pub const STATUS_RESOURCE_IN_USE: NTSTATUS = status(0xC000_0708);
pub const STATUS_DEVICE_HARDWARE_ERROR: NTSTATUS = status(0xC000_0483);
pub const STATUS_CONNECTION_INVALID: NTSTATUS = status(0xC000_023A);

// wdm.h: booleans, processors, interrupt levels
pub const FALSE: u32 = 0;
pub const TRUE: u32 = 1;
pub const PASSIVE_LEVEL: u32 = 0;
pub const APC_LEVEL: u32 = 1;
pub const DISPATCH_LEVEL: u32 = 2;
pub const ALL_PROCESSOR_GROUPS: u32 = 0xFFFF;
pub const PAGE_SIZE: u32 = 4096;
pub const PAGE_SHIFT: u32 = 12;

// wdm.h: resources
pub const CmResourceTypeNull: u32 = 0;
pub const CmResourceTypePort: u32 = 1;
pub const CmResourceTypeInterrupt: u32 = 2;
pub const CmResourceTypeMemory: u32 = 3;
pub const CmResourceTypeDma: u32 = 4;
pub const CM_RESOURCE_INTERRUPT_LATCHED: u32 = 1;
pub const CM_RESOURCE_INTERRUPT_MESSAGE: u32 = 2;
pub const CM_RESOURCE_INTERRUPT_POLICY_INCLUDED: u32 = 4;

// wdm.h: devices and requests
pub const FILE_DEVICE_UNKNOWN: u32 = 0x22;
pub const FILE_DEVICE_SECURE_OPEN: u32 = 0x100;
pub const FILE_ANY_ACCESS: u32 = 0;
pub const METHOD_BUFFERED: u32 = 0;
pub const METHOD_IN_DIRECT: u32 = 1;
pub const METHOD_OUT_DIRECT: u32 = 2;
pub const METHOD_NEITHER: u32 = 3;
pub const PCI_WHICHSPACE_CONFIG: u32 = 0;

// wdm.h: memory
pub const PAGE_READWRITE: u32 = 0x4;
pub const PAGE_NOCACHE: u32 = 0x200;
pub const MDL_MAPPED_TO_SYSTEM_VA: u32 = 0x1;
pub const MDL_PAGES_LOCKED: u32 = 0x2;
pub const MDL_SOURCE_IS_NONPAGED_POOL: u32 = 0x4;

// wdm.h: threads
pub const THREAD_ALL_ACCESS: u32 = 0x1F_FFFF;

// wdm.h: the registry
pub const KEY_READ: u32 = 0x2_0019;
pub const KEY_QUERY_VALUE: u32 = 1;
pub const REG_SZ: u32 = 1;
pub const REG_DWORD: u32 = 4;
pub const OBJ_CASE_INSENSITIVE: u32 = 0x40;
pub const OBJ_KERNEL_HANDLE: u32 = 0x200;

// wdm.h: DMA
pub const DEVICE_DESCRIPTION_VERSION: u32 = 0;
pub const DEVICE_DESCRIPTION_VERSION1: u32 = 1;
pub const DEVICE_DESCRIPTION_VERSION2: u32 = 2;
pub const DEVICE_DESCRIPTION_VERSION3: u32 = 3;

// Macros with integer suffixes, which the real crate writes out by hand.
pub const POOL_FLAG_UNINITIALIZED: POOL_FLAGS = 0x2;
pub const POOL_FLAG_CACHE_ALIGNED: POOL_FLAGS = 0x8;
pub const POOL_FLAG_NON_PAGED: POOL_FLAGS = 0x40;
pub const POOL_FLAG_PAGED: POOL_FLAGS = 0x100;

pub const WDF_NO_OBJECT_ATTRIBUTES: PWDF_OBJECT_ATTRIBUTES = core::ptr::null_mut();
pub const WDF_NO_EVENT_CALLBACK: PVOID = core::ptr::null_mut();
pub const WDF_NO_HANDLE: PVOID = core::ptr::null_mut();
pub const WDF_NO_CONTEXT: PVOID = core::ptr::null_mut();
pub const WDF_NO_SEND_OPTIONS: PVOID = core::ptr::null_mut();
