//! Completes a packet that still has a cancel routine.
#![no_std]
#![no_main]

use defects::wdm::{Device, Function, complete};
use defects::*;

extern "C" fn cancel(_device: *mut DEVICE_OBJECT, _irp: *mut IRP) {}

struct Driver;

impl Function for Driver {
    fn control(_device: &Device, irp: *mut IRP) -> NTSTATUS {
        // SAFETY: the packet is the driver's until it is completed.
        let routine = unsafe { &mut (*irp).CancelRoutine };
        *routine = Some(cancel);
        mistake!(() => *routine = None);
        complete(irp, STATUS_SUCCESS)
    }
}

function_driver!(Driver);
