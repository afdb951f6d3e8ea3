//! Releases a semaphore beyond its limit.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let semaphore = Shared::<KSEMAPHORE>::new();
    KeInitializeSemaphore(semaphore.at(), 0, 2);
    KeReleaseSemaphore(semaphore.at(), 0, mistake!(3 => 2), 0);
}

service!(start);
