//! Returns from a DPC with a spin lock held.
#![no_std]
#![no_main]

use defects::*;

static DPC: Shared<KDPC> = Shared::new();
static LOCK: Shared<u64> = Shared::new();

extern "C" fn routine(_dpc: *mut KDPC, _context: *mut c_void, _first: *mut c_void, _second: *mut c_void) {
    KeAcquireSpinLockAtDpcLevel(LOCK.at());
    mistake!(() => KeReleaseSpinLockFromDpcLevel(LOCK.at()));
}

fn start(_driver: *mut DRIVER_OBJECT) {
    KeInitializeDpc(DPC.at(), routine, null_mut());
    KeInsertQueueDpc(DPC.at(), null_mut(), null_mut());
}

fn stop() {
    KeFlushQueuedDpcs();
}

service!(start, stop);
