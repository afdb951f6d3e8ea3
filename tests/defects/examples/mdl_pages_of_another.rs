//! Frees the pages of an MDL that owns none.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let buffer = allocate::<c_void>(100);
    let mdl = IoAllocateMdl(buffer, 100, 0, 0, null_mut());
    MmBuildMdlForNonPagedPool(mdl);
    mistake!(MmFreePagesFromMdl(mdl) => ());
    IoFreeMdl(mdl);
    ExFreePool(buffer);
}

service!(start);
