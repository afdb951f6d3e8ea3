//! Waits for memory that is no dispatcher object.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let event = Shared::<KEVENT>::new();
    mistake!(store(event.at().cast::<u8>(), 0, 77) => KeInitializeEvent(event.at(), 0, 1));
    wait(event.at());
}

service!(start);
