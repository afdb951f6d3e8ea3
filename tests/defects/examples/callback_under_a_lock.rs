//! Calls a client's callback under its own lock; the callback calls back, as callbacks do.
#![no_std]
#![no_main]

use defects::*;

/// What a client calls: it takes the channel's lock.
fn submit(lock: *mut u64) {
    let old = KeAcquireSpinLockRaiseToDpc(lock);
    KeReleaseSpinLock(lock, old);
}

/// The client's callback: a request is done, here is the next.
fn completed(lock: *mut u64) {
    submit(lock);
}

fn start(_driver: *mut DRIVER_OBJECT) {
    let lock = Shared::<u64>::new();
    let old = KeAcquireSpinLockRaiseToDpc(lock.at());
    mistake!(completed(lock.at()) => ());
    KeReleaseSpinLock(lock.at(), old);
    completed(lock.at());
}

service!(start);
