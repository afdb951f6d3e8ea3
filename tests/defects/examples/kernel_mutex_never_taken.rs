//! Releases a kernel mutex that its thread does not own.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let mutex = Shared::<KMUTEX>::new();
    KeInitializeMutex(mutex.at(), 0);
    mistake!(0 => wait(mutex.at()));
    KeReleaseMutex(mutex.at(), 0);
}

service!(start);
