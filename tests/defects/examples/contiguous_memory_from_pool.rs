//! Frees pool as contiguous memory.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let block = allocate::<c_void>(4096);
    mistake!(MmFreeContiguousMemory(block) => ExFreePool(block));
}

service!(start);
