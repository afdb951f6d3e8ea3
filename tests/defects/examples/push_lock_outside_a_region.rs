//! Takes a push lock without disabling kernel APCs.
#![no_std]
#![no_main]

use defects::*;

fn take(lock: &Shared<u64>) {
    ExAcquirePushLockExclusiveEx(lock.at(), 0);
    ExReleasePushLockExclusiveEx(lock.at(), 0);
}

fn start(_driver: *mut DRIVER_OBJECT) {
    let lock = Shared::<u64>::new();
    ExInitializePushLock(lock.at());
    mistake!(take(&lock) => { KeEnterCriticalRegion(); take(&lock); KeLeaveCriticalRegion() });
}

service!(start);
