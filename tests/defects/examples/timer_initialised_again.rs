//! Initialises a timer that is set.
#![no_std]
#![no_main]

use defects::*;

static TIMER: Shared<KTIMER> = Shared::new();

fn start(_driver: *mut DRIVER_OBJECT) {
    KeInitializeTimerEx(TIMER.at(), 0);
    KeSetTimer(TIMER.at(), -10_000_000, null_mut());
    mistake!(KeInitializeTimerEx(TIMER.at(), 0) => ());
}

fn stop() {
    KeCancelTimer(TIMER.at());
}

service!(start, stop);
