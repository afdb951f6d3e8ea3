//! Leaves a pool block behind when it is unloaded.
#![no_std]
#![no_main]

use defects::*;

static BLOCK: Shared<*mut c_void> = Shared::new();

fn start(_driver: *mut DRIVER_OBJECT) {
    BLOCK.set(allocate(32));
}

fn stop() {
    mistake!(() => ExFreePool(BLOCK.get()));
}

service!(start, stop);
