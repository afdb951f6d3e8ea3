//! Is unloaded while a timer is set that will call it.
#![no_std]
#![no_main]

use defects::*;

static TIMER: Shared<KTIMER> = Shared::new();
static DPC: Shared<KDPC> = Shared::new();

extern "C" fn routine(_dpc: *mut KDPC, _context: *mut c_void, _first: *mut c_void, _second: *mut c_void) {}

fn start(_driver: *mut DRIVER_OBJECT) {
    KeInitializeDpc(DPC.at(), routine, null_mut());
    KeInitializeTimerEx(TIMER.at(), 0);
    KeSetTimer(TIMER.at(), -10_000_000, DPC.at());
}

fn stop() {
    mistake!(0 => KeCancelTimer(TIMER.at()));
}

service!(start, stop);
