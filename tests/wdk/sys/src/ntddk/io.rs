//! The I/O manager.

use crate::types::*;

imports! {
    fn IoAllocateMdl(
        VirtualAddress: PVOID, Length: ULONG, SecondaryBuffer: BOOLEAN, ChargeQuota: BOOLEAN, Irp: PIRP) -> PMDL;
    fn IoFreeMdl(Mdl: PMDL);
    fn IoGetDmaAdapter(
        PhysicalDeviceObject: PDEVICE_OBJECT, DeviceDescription: *mut _DEVICE_DESCRIPTION,
        NumberOfMapRegisters: PULONG) -> *mut _DMA_ADAPTER;
    fn IoOpenDeviceRegistryKey(
        DeviceObject: PDEVICE_OBJECT, DevInstKeyType: ULONG, DesiredAccess: ACCESS_MASK,
        DeviceRegKey: PHANDLE) -> NTSTATUS;
}
