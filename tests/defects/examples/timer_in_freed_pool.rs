//! Frees the memory of a timer that is set.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let timer = allocate::<KTIMER>(size_of::<KTIMER>());
    KeInitializeTimerEx(timer, 0);
    KeSetTimer(timer, -10_000_000, null_mut());
    mistake!(0 => KeCancelTimer(timer));
    ExFreePool(timer.cast());
}

service!(start);
