//! Releases a fast mutex that its thread does not hold.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let mutex = Shared::<FAST_MUTEX>::new();
    initialize_fast_mutex(mutex.at());
    mistake!({ KfRaiseIrql(1); } => ExAcquireFastMutex(mutex.at()));
    ExReleaseFastMutex(mutex.at());
}

service!(start);
