//! Writes behind the end of a pool block whose length is not a multiple of 16: no page ends there.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let block = allocate::<u8>(20);
    store(block, mistake!(20 => 19), 1);
    ExFreePool(block.cast());
}

service!(start);
