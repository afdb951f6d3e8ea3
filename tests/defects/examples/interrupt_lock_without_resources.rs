//! Takes the lock of an interrupt that has no resources yet.
#![no_std]
#![no_main]

use defects::framework::{self, complete, create_device, create_queue};
use defects::*;

extern "C" fn service(_interrupt: WDFINTERRUPT, _message: u32) -> u8 {
    1
}

extern "C" fn device_add(_driver: WDFDRIVER, init: *mut WDFDEVICE_INIT) -> NTSTATUS {
    let device = match create_device(init) {
        Ok(device) => device,
        Err(status) => return status,
    };
    framework::use_interrupt(device, service);
    mistake!(framework::take_interrupt_lock() => ());
    create_queue(device, Some(control))
}

extern "C" fn control(_queue: WDFQUEUE, request: WDFREQUEST, _output: usize, _input: usize, _code: u32) {
    complete(request, STATUS_SUCCESS);
}

framework_driver!(device_add);
