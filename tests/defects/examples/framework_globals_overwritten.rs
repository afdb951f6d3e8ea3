//! Calls the framework after it overwrote the globals that the framework gave it.
#![no_std]
#![no_main]

use defects::framework::{self, complete, create_device, create_queue};
use defects::*;

extern "C" fn device_add(_driver: WDFDRIVER, init: *mut WDFDEVICE_INIT) -> NTSTATUS {
    let device = match create_device(init) {
        Ok(device) => device,
        Err(status) => return status,
    };
    let globals = &raw mut WdfDriverGlobals;
    mistake!(store(globals, 0, null_mut()) => ());
    framework::reference(device.cast());
    framework::dereference(device.cast());
    create_queue(device, Some(control))
}

extern "C" fn control(_queue: WDFQUEUE, request: WDFREQUEST, _output: usize, _input: usize, _code: u32) {
    complete(request, STATUS_SUCCESS);
}

framework_driver!(device_add);
