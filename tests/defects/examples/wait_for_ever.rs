//! Waits for an event that nobody sets.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let event = Shared::<KEVENT>::new();
    KeInitializeEvent(event.at(), 0, mistake!(0 => 1));
    wait(event.at());
}

service!(start);
