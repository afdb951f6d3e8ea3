//! Is unloaded and leaves contiguous memory.
#![no_std]
#![no_main]

use defects::*;

static MEMORY: Shared<*mut c_void> = Shared::new();

fn start(_driver: *mut DRIVER_OBJECT) {
    MEMORY.set(MmAllocateContiguousMemory(4096, i64::MAX));
}

fn stop() {
    mistake!(() => MmFreeContiguousMemory(MEMORY.get()));
}

service!(start, stop);
