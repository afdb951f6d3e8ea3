//! Reads a pool block after freeing it.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let block = allocate::<u8>(32);
    let read = || load(block, 0);
    mistake!({ ExFreePool(block.cast()); read() } => { let byte = read(); ExFreePool(block.cast()); byte });
}

service!(start);
