//! Frees the memory of a spin lock that it holds.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let lock = allocate::<u64>(8);
    let old = KeAcquireSpinLockRaiseToDpc(lock);
    mistake!(KeLowerIrql(2) => KeReleaseSpinLock(lock, old));
    ExFreePool(lock.cast());
}

service!(start);
