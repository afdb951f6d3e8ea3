//! Locks pageable memory at DISPATCH_LEVEL.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let buffer = ExAllocatePool2(memory::PAGED, 100, memory::TAG);
    let mdl = IoAllocateMdl(buffer, 100, 0, 0, null_mut());
    let old = KfRaiseIrql(mistake!(2 => 1));
    MmProbeAndLockPages(mdl, 0, 1);
    KeLowerIrql(old);
    MmUnlockPages(mdl);
    IoFreeMdl(mdl);
    ExFreePool(buffer);
}

service!(start);
