//! Stops the machine itself.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    mistake!(KeBugCheckEx(0xE2, 1, 2, 3, 4) => ());
}

service!(start);
