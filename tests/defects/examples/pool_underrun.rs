//! Writes before the beginning of a pool block.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let block = allocate::<u8>(32);
    store(block, mistake!(-1 => 0), 1);
    ExFreePool(block.cast());
}

service!(start);
