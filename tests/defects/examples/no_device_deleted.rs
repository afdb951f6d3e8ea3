//! Deletes a device object that is none.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let memory = allocate::<DEVICE_OBJECT>(size_of::<DEVICE_OBJECT>());
    mistake!(IoDeleteDevice(memory) => ());
    ExFreePool(memory.cast());
}

service!(start);
