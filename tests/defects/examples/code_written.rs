//! Writes to its own code.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let own: fn(*mut DRIVER_OBJECT) = start;
    let place = mistake!(own as *mut u64 => Shared::<u64>::new().at());
    store(place, 0, 0);
}

service!(start);
