//! Takes a spin lock that something wrote over.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let lock = Shared::<u64>::new();
    lock.set(mistake!(0x5555 => 0));
    let old = KeAcquireSpinLockRaiseToDpc(lock.at());
    KeReleaseSpinLock(lock.at(), old);
}

service!(start);
