//! Passes a structure whose Size is not that of its version.
#![no_std]
#![no_main]

use defects::framework::{self, complete, create_device, create_queue};
use defects::*;

extern "C" fn device_add(_driver: WDFDRIVER, init: *mut WDFDEVICE_INIT) -> NTSTATUS {
    let mut callbacks = framework::callbacks();
    callbacks.Size -= mistake!(4 => 0);
    framework::set_callbacks(init, &mut callbacks);
    match create_device(init) {
        Ok(device) => create_queue(device, Some(control)),
        Err(status) => status,
    }
}

extern "C" fn control(_queue: WDFQUEUE, request: WDFREQUEST, _output: usize, _input: usize, _code: u32) {
    complete(request, STATUS_SUCCESS);
}

framework_driver!(device_add);
