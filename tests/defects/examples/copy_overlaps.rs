//! Copies with memcpy between ranges that overlap.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let block = allocate::<c_void>(64);
    memcpy(block.wrapping_byte_add(mistake!(8 => 32)), block, core::hint::black_box(16));
    ExFreePool(block);
}

service!(start);
