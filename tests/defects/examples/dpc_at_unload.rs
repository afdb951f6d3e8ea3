//! Is unloaded while a DPC is queued that will call it.
#![no_std]
#![no_main]

use defects::*;

static DPC: Shared<KDPC> = Shared::new();

extern "C" fn routine(_dpc: *mut KDPC, _context: *mut c_void, _first: *mut c_void, _second: *mut c_void) {}

fn start(_driver: *mut DRIVER_OBJECT) {
    KeInitializeDpc(DPC.at(), routine, null_mut());
    KeSetTargetProcessorDpcEx(DPC.at(), &PROCESSOR_NUMBER { Group: 0, Number: 1, Reserved: 0 });
}

fn stop() {
    KeInsertQueueDpc(DPC.at(), null_mut(), null_mut());
    mistake!(() => KeFlushQueuedDpcs());
}

service!(start, stop);
