//! Frees a pool block from its middle.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let block = allocate::<c_void>(64);
    ExFreePool(block.wrapping_byte_add(mistake!(16 => 0)));
}

service!(start);
