//! Frees a pool block twice.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let block = allocate::<u8>(32);
    ExFreePool(block.cast());
    mistake!(ExFreePool(block.cast()) => ());
}

service!(start);
