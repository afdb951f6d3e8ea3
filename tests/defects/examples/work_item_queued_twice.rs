//! Queues a work item that is queued.
#![no_std]
#![no_main]

use defects::*;

static DEVICE: Shared<*mut DEVICE_OBJECT> = Shared::new();
static ITEM: Shared<*mut c_void> = Shared::new();

extern "C" fn routine(_device: *mut DEVICE_OBJECT, _context: *mut c_void) {}

fn start(driver: *mut DRIVER_OBJECT) {
    DEVICE.set(service::control_device(driver));
    ITEM.set(IoAllocateWorkItem(DEVICE.get()));
    let old = KfRaiseIrql(2);
    IoQueueWorkItem(ITEM.get(), routine, 1, null_mut());
    mistake!(IoQueueWorkItem(ITEM.get(), routine, 1, null_mut()) => ());
    KeLowerIrql(old);
}

fn stop() {
    IoFreeWorkItem(ITEM.get());
    service::delete(DEVICE.get());
}

service!(start, stop);
