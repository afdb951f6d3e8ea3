//! Deletes a device object that another one is attached to.
#![no_std]
#![no_main]

use defects::*;

static LOWER: Shared<*mut DEVICE_OBJECT> = Shared::new();
static UPPER: Shared<*mut DEVICE_OBJECT> = Shared::new();

fn start(driver: *mut DRIVER_OBJECT) {
    LOWER.set(service::control_device(driver));
    UPPER.set(service::control_device(driver));
    IoAttachDeviceToDeviceStack(UPPER.get(), LOWER.get());
}

fn stop() {
    mistake!(() => IoDetachDevice(LOWER.get()));
    service::delete(LOWER.get());
    service::delete(UPPER.get());
}

service!(start, stop);
