//! Frees a buffer whose pages an MDL still locks.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let buffer = ExAllocatePool2(memory::PAGED, 100, memory::TAG);
    let mdl = IoAllocateMdl(buffer, 100, 0, 0, null_mut());
    MmProbeAndLockPages(mdl, 0, 1);
    mistake!(() => MmUnlockPages(mdl));
    ExFreePool(buffer);
    IoFreeMdl(mdl);
}

service!(start);
