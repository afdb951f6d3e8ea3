//! Queues a DPC whose routine is data.
#![no_std]
#![no_main]

use defects::*;

static DPC: Shared<KDPC> = Shared::new();
static DATA: Shared<u64> = Shared::new();

extern "C" fn routine(_dpc: *mut KDPC, _context: *mut c_void, _first: *mut c_void, _second: *mut c_void) {}

fn data_as_routine() -> DpcRoutine {
    // SAFETY: none: this is the mistake.
    unsafe { core::mem::transmute(DATA.at()) }
}

fn start(_driver: *mut DRIVER_OBJECT) {
    KeInitializeDpc(DPC.at(), mistake!(data_as_routine() => routine), null_mut());
    KeInsertQueueDpc(DPC.at(), null_mut(), null_mut());
}

fn stop() {
    KeFlushQueuedDpcs();
}

service!(start, stop);
