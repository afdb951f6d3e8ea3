//! Takes three spin locks in a circle: each pair in one order only.
#![no_std]
#![no_main]

use defects::*;

static ONE: Shared<u64> = Shared::new();
static TWO: Shared<u64> = Shared::new();
static THREE: Shared<u64> = Shared::new();

fn take_both(first: &Shared<u64>, second: &Shared<u64>) {
    let old = KeAcquireSpinLockRaiseToDpc(first.at());
    KeAcquireSpinLockAtDpcLevel(second.at());
    KeReleaseSpinLockFromDpcLevel(second.at());
    KeReleaseSpinLock(first.at(), old);
}

fn start(_driver: *mut DRIVER_OBJECT) {
    take_both(&ONE, &TWO);
    take_both(&TWO, &THREE);
    mistake!(take_both(&THREE, &ONE) => take_both(&ONE, &THREE));
}

service!(start);
