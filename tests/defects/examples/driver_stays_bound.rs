//! Leaves without unbinding from the framework.
#![no_std]
#![no_main]

use defects::framework::{self, complete, create_device, create_queue};
use defects::*;

extern "C" fn unload(_driver: *mut DRIVER_OBJECT) {}

extern "C" fn device_add(driver: WDFDRIVER, init: *mut WDFDEVICE_INIT) -> NTSTATUS {
    // SAFETY: the driver object outlives the driver.
    let object = unsafe { &mut *framework::driver_object(driver) };
    mistake!(object.DriverUnload = Some(unload) => ());
    match create_device(init) {
        Ok(device) => create_queue(device, Some(control)),
        Err(status) => status,
    }
}

extern "C" fn control(_queue: WDFQUEUE, request: WDFREQUEST, _output: usize, _input: usize, _code: u32) {
    complete(request, STATUS_SUCCESS);
}

framework_driver!(device_add);
