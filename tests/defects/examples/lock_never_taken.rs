//! Releases a spin lock that it did not take.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let lock = Shared::<u64>::new();
    let old = KfRaiseIrql(2);
    mistake!(() => KeAcquireSpinLockAtDpcLevel(lock.at()));
    KeReleaseSpinLockFromDpcLevel(lock.at());
    KeLowerIrql(old);
}

service!(start);
