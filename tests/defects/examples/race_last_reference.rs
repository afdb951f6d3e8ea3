//! A thread and a DPC each give a reference back, and whoever finds none left frees the block: with an ordinary
//! subtraction both may find one.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering};

use defects::*;

static BLOCK: Shared<*mut c_void> = Shared::new();
static REFERENCES: AtomicU32 = AtomicU32::new(2);
static DPC: Shared<KDPC> = Shared::new();

fn release() {
    let plain = || {
        let before = REFERENCES.load(Ordering::Relaxed);
        REFERENCES.store(before - 1, Ordering::Relaxed);
        before
    };
    let atomic = || REFERENCES.fetch_sub(1, Ordering::Relaxed);
    if mistake!(plain() => atomic()) == 1 {
        ExFreePool(BLOCK.get());
    }
}

extern "C" fn deferred(_dpc: *mut KDPC, _context: *mut c_void, _first: *mut c_void, _second: *mut c_void) {
    release();
}

extern "C" fn worker(_context: *mut c_void) {
    release();
}

fn start(_driver: *mut DRIVER_OBJECT) {
    BLOCK.set(allocate(32));
    KeInitializeDpc(DPC.at(), deferred, null_mut());
    let thread = spawn(worker);
    KeInsertQueueDpc(DPC.at(), null_mut(), null_mut());
    join(thread);
    KeFlushQueuedDpcs();
}

service!(start);
