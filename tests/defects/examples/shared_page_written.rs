//! Writes to the page that all programs read the time from.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let number = Shared::<u32>::new();
    let pointer = core::hint::black_box(mistake!(0xFFFF_F780_0000_0320_usize as *mut u32 => number.at()));
    store(pointer, 0, 1);
}

service!(start);
