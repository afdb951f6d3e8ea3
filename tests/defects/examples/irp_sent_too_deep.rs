//! Sends a packet to itself until its stack has no location left.
#![no_std]
#![no_main]

use defects::wdm::{Device, Function, complete, copy_to_next, has_next};
use defects::*;

struct Driver;

impl Function for Driver {
    fn control(device: &Device, irp: *mut IRP) -> NTSTATUS {
        // The packet comes back as the same request, as long as there is room to say so.
        if has_next(irp) {
            copy_to_next(irp);
        }
        mistake!(IofCallDriver(device.own, irp) => complete(irp, STATUS_SUCCESS))
    }
}

function_driver!(Driver);
