//! Completes a request that it keeps a reference to, and completes it again.
#![no_std]
#![no_main]

use defects::framework::{self, complete, create_device, create_queue};
use defects::*;

extern "C" fn device_add(_driver: WDFDRIVER, init: *mut WDFDEVICE_INIT) -> NTSTATUS {
    match create_device(init) {
        Ok(device) => create_queue(device, Some(control)),
        Err(status) => status,
    }
}

extern "C" fn control(_queue: WDFQUEUE, request: WDFREQUEST, _output: usize, _input: usize, _code: u32) {
    framework::reference(request.cast());
    complete(request, STATUS_SUCCESS);
    mistake!(complete(request, STATUS_SUCCESS) => ());
    framework::dereference(request.cast());
}

framework_driver!(device_add);
