//! DMA adapters and common buffers (Learn, DMA_OPERATIONS).

use core::ffi::c_void;
use core::ptr::null_mut;

use wdk_sys::{DEVICE_DESCRIPTION, DMA_ADAPTER, DMA_OPERATIONS, LARGE_INTEGER};

use crate::kernel::{IoGetDmaAdapter, MmMapIoSpaceEx, MmUnmapIoSpace, sleep};
use crate::memory::store;
use crate::wdm::{Device, StackLocation, registers};

/// An adapter of the device.
#[derive(Debug, Clone, Copy)]
pub struct Adapter(*mut DMA_ADAPTER);

/// A common buffer.
#[derive(Debug, Clone, Copy)]
pub struct Buffer {
    /// Where the driver sees it.
    pub memory: *mut c_void,
    /// Where the device sees it.
    pub bus: i64,
    /// Bytes.
    pub length: u32,
}

impl Adapter {
    /// An adapter for a bus master with 64-bit addresses.
    #[must_use]
    pub fn of(device: &Device) -> Self {
        let mut description = DEVICE_DESCRIPTION {
            Version: wdk_sys::DEVICE_DESCRIPTION_VERSION2,
            Master: 1,
            ScatterGather: 1,
            Dma64BitAddresses: 1,
            MaximumLength: 1 << 20,
            ..DEVICE_DESCRIPTION::default()
        };
        let mut registers = 0;
        Self(IoGetDmaAdapter(device.pdo, &mut description, &mut registers))
    }

    /// Its functions.
    #[must_use]
    pub fn operations(self) -> DMA_OPERATIONS {
        // SAFETY: none; whether the adapter still is one is what the machine is asked. Versions 1 and 2 of the
        // description give a table of sixteen entries: only the first are read.
        let table = unsafe { (*self.0).DmaOperations };
        let mut operations = DMA_OPERATIONS::default();
        // SAFETY: as above.
        unsafe {
            operations.PutDmaAdapter = (*table).PutDmaAdapter;
            operations.AllocateCommonBuffer = (*table).AllocateCommonBuffer;
            operations.FreeCommonBuffer = (*table).FreeCommonBuffer;
        }
        operations
    }

    /// Gives it back.
    pub fn put(self) {
        if let Some(put) = self.operations().PutDmaAdapter {
            // SAFETY: none, as above.
            unsafe { put(self.0) };
        }
    }

    /// A common buffer.
    #[must_use]
    pub fn allocate(self, length: u32) -> Buffer {
        self.allocate_by(&self.operations(), length)
    }

    /// A common buffer by functions that were read earlier.
    #[must_use]
    pub fn allocate_by(self, operations: &DMA_OPERATIONS, length: u32) -> Buffer {
        let mut bus = LARGE_INTEGER::default();
        let memory = match operations.AllocateCommonBuffer {
            // SAFETY: none, as above.
            Some(allocate) => unsafe { allocate(self.0, length, &mut bus, 1) },
            None => null_mut(),
        };
        // SAFETY: every member of the union is the same 64 bits.
        Buffer { memory, bus: unsafe { bus.QuadPart }, length }
    }

    /// Frees a common buffer.
    pub fn free(self, buffer: Buffer) {
        self.free_by(&self.operations(), buffer);
    }

    /// Frees a common buffer by functions that were read earlier.
    pub fn free_by(self, operations: &DMA_OPERATIONS, buffer: Buffer) {
        if let Some(free) = operations.FreeCommonBuffer {
            let bus = LARGE_INTEGER { QuadPart: buffer.bus };
            // SAFETY: none, as above.
            unsafe { free(self.0, buffer.length, bus, buffer.memory, 1) };
        }
    }
}

/// Has the device add one to the first word of a buffer, and gives it time to do so. (The device is the test function of
/// `tests/nthost/tests/common`: a doorbell at 0, a bus address at 8.)
pub fn count_in(start: &StackLocation, buffer: Buffer) {
    let (physical, bytes) = registers(start);
    let mapped = MmMapIoSpaceEx(physical, bytes, 0x204);
    store(mapped.cast::<i64>(), 1, buffer.bus);
    store(mapped.cast::<u32>(), 0, 0);
    sleep(1);
    store(mapped.cast::<i64>(), 1, 0);
    MmUnmapIoSpace(mapped, bytes);
}
