//! The I/O manager.

use crate::types::*;

imports! {
    fn IoGetDmaAdapter(
        PhysicalDeviceObject: PDEVICE_OBJECT, DeviceDescription: *mut _DEVICE_DESCRIPTION,
        NumberOfMapRegisters: PULONG) -> *mut _DMA_ADAPTER;
}
