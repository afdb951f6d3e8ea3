//! Builds an MDL for nonpaged pool over paged pool.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let buffer = ExAllocatePool2(mistake!(memory::PAGED => memory::NON_PAGED), 100, memory::TAG);
    let mdl = IoAllocateMdl(buffer, 100, 0, 0, null_mut());
    MmBuildMdlForNonPagedPool(mdl);
    IoFreeMdl(mdl);
    ExFreePool(buffer);
}

service!(start);
