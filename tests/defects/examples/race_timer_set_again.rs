//! A DPC sets its timer again unless the driver is stopping: the driver may stop between the look and the setting.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, Ordering};

use defects::*;

/// Ten microseconds.
const PERIOD: i64 = -100;

static TIMER: Shared<KTIMER> = Shared::new();
static DPC: Shared<KDPC> = Shared::new();
static STOPPING: AtomicBool = AtomicBool::new(false);

extern "C" fn expired(_dpc: *mut KDPC, _context: *mut c_void, _first: *mut c_void, _second: *mut c_void) {
    if !STOPPING.load(Ordering::Acquire) {
        // A device would be asked something here.
        KeStallExecutionProcessor(2);
        KeSetTimer(TIMER.at(), PERIOD, DPC.at());
    }
}

fn start(_driver: *mut DRIVER_OBJECT) {
    KeInitializeDpc(DPC.at(), expired, null_mut());
    KeSetTargetProcessorDpcEx(DPC.at(), &PROCESSOR_NUMBER { Group: 0, Number: 1, Reserved: 0 });
    KeInitializeTimerEx(TIMER.at(), 0);
    KeSetTimer(TIMER.at(), PERIOD, DPC.at());
}

fn stop() {
    STOPPING.store(true, Ordering::Release);
    KeCancelTimer(TIMER.at());
    // A DPC that had looked before has set the timer by the time it is flushed.
    let look_again = || {
        KeFlushQueuedDpcs();
        KeCancelTimer(TIMER.at());
        KeFlushQueuedDpcs();
    };
    mistake!(() => look_again());
}

service!(start, stop);
