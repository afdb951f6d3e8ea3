//! Recurses until the kernel stack is used up.
#![no_std]
#![no_main]

use defects::*;

fn descend(levels: u32) -> i64 {
    let room = core::hint::black_box([0_u8; 256]);
    let time = KeQueryPerformanceCounter(null_mut()) + i64::from(room[0]);
    if levels == 0 { time } else { descend(levels - 1) + i64::from(room[255]) }
}

fn start(_driver: *mut DRIVER_OBJECT) {
    descend(mistake!(1_000_000 => 3));
}

service!(start);
