//! Is unloaded while its thread runs.
#![no_std]
#![no_main]

use defects::*;

static THREAD: Shared<*mut c_void> = Shared::new();
static STOPPING: Shared<bool> = Shared::new();

extern "C" fn worker(_context: *mut c_void) {
    while !STOPPING.get() {
        sleep(10);
    }
}

fn start(_driver: *mut DRIVER_OBJECT) {
    THREAD.set(spawn(worker));
}

fn stop() {
    STOPPING.set(true);
    mistake!({ ObfDereferenceObject(THREAD.get()); } => join(THREAD.get()));
}

service!(start, stop);
