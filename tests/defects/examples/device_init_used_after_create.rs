//! Uses WDFDEVICE_INIT after WdfDeviceCreate.
#![no_std]
#![no_main]

use defects::framework::{self, complete, create_device, create_queue};
use defects::*;

extern "C" fn device_add(_driver: WDFDRIVER, init: *mut WDFDEVICE_INIT) -> NTSTATUS {
    let set = || framework::set_device_type(init);
    let created =
        mistake!({ let created = create_device(init); set(); created } => { set(); create_device(init) });
    match created {
        Ok(device) => create_queue(device, Some(control)),
        Err(status) => status,
    }
}

extern "C" fn control(_queue: WDFQUEUE, request: WDFREQUEST, _output: usize, _input: usize, _code: u32) {
    complete(request, STATUS_SUCCESS);
}

framework_driver!(device_add);
