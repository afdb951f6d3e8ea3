//! Queues a DPC that was never initialised.
#![no_std]
#![no_main]

use defects::*;

static DPC: Shared<KDPC> = Shared::new();

extern "C" fn routine(_dpc: *mut KDPC, _context: *mut c_void, _first: *mut c_void, _second: *mut c_void) {}

fn start(_driver: *mut DRIVER_OBJECT) {
    mistake!(() => KeInitializeDpc(DPC.at(), routine, null_mut()));
    KeInsertQueueDpc(DPC.at(), null_mut(), null_mut());
}

fn stop() {
    KeFlushQueuedDpcs();
}

service!(start, stop);
