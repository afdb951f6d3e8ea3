//! Reads through a null pointer.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let number = Shared::<u64>::new();
    let pointer = core::hint::black_box(mistake!(null_mut() => number.at()));
    let _number: u64 = load(pointer, 0);
}

service!(start);
