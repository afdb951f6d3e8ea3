//! Locks the pages of an MDL that was never initialised.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let buffer = allocate::<c_void>(100);
    let mdl = mistake!(allocate(size_of::<MDL>() + 16) => IoAllocateMdl(buffer, 100, 0, 0, null_mut()));
    MmProbeAndLockPages(mdl, 0, 1);
    MmUnlockPages(mdl);
    IoFreeMdl(mdl);
    ExFreePool(buffer);
}

service!(start);
