//! Lowers the IRQL while it holds a spin lock.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let lock = Shared::<u64>::new();
    let old = KeAcquireSpinLockRaiseToDpc(lock.at());
    mistake!(KeLowerIrql(old) => KeReleaseSpinLock(lock.at(), old));
}

service!(start);
