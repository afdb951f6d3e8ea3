//! Unmaps an MDL that is no longer mapped.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let buffer = ExAllocatePool2(memory::PAGED, 100, memory::TAG);
    let mdl = IoAllocateMdl(buffer, 100, 0, 0, null_mut());
    MmProbeAndLockPages(mdl, 0, 1);
    let mapped = MmMapLockedPagesSpecifyCache(mdl, 0, 1, null_mut(), 0, 16);
    MmUnmapLockedPages(mapped, mdl);
    mistake!(MmUnmapLockedPages(mapped, mdl) => ());
    MmUnlockPages(mdl);
    IoFreeMdl(mdl);
    ExFreePool(buffer);
}

service!(start);
