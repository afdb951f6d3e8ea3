//! Waits for four objects without wait blocks.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let event = Shared::<KEVENT>::new();
    KeInitializeEvent(event.at(), 0, 1);
    let objects = [event.at().cast(); 4];
    KeWaitForMultipleObjects(mistake!(4 => 3), objects.as_ptr(), 0, 0, 0, 0, null(), null_mut());
}

service!(start);
