//! Frees a pool block with the tag of another.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let block = allocate::<u8>(32);
    ExFreePoolWithTag(block.cast(), mistake!(u32::from_le_bytes(*b"Oops") => memory::TAG));
}

service!(start);
