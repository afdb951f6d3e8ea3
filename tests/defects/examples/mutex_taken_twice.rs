//! Takes a fast mutex that its thread holds.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let mutex = Shared::<FAST_MUTEX>::new();
    initialize_fast_mutex(mutex.at());
    ExAcquireFastMutex(mutex.at());
    mistake!(ExAcquireFastMutex(mutex.at()) => ());
    ExReleaseFastMutex(mutex.at());
}

service!(start);
