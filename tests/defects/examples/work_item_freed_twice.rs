//! Frees a work item twice.
#![no_std]
#![no_main]

use defects::*;

static DEVICE: Shared<*mut DEVICE_OBJECT> = Shared::new();
static ITEM: Shared<*mut c_void> = Shared::new();

fn start(driver: *mut DRIVER_OBJECT) {
    DEVICE.set(service::control_device(driver));
    ITEM.set(IoAllocateWorkItem(DEVICE.get()));
}

fn stop() {
    IoFreeWorkItem(ITEM.get());
    mistake!(IoFreeWorkItem(ITEM.get()) => ());
    service::delete(DEVICE.get());
}

service!(start, stop);
