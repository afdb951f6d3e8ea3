//! Takes a spin lock that it holds.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let lock = Shared::<u64>::new();
    let old = KeAcquireSpinLockRaiseToDpc(lock.at());
    mistake!(KeAcquireSpinLockAtDpcLevel(lock.at()) => ());
    KeReleaseSpinLock(lock.at(), old);
}

service!(start);
