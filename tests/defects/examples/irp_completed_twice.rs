//! Completes a packet twice.
#![no_std]
#![no_main]

use defects::wdm::{Device, Function, complete};
use defects::*;

struct Driver;

impl Function for Driver {
    fn control(_device: &Device, irp: *mut IRP) -> NTSTATUS {
        let status = complete(irp, STATUS_SUCCESS);
        mistake!(IofCompleteRequest(irp, 0) => ());
        status
    }
}

function_driver!(Driver);
