//! Completes a packet with STATUS_PENDING.
#![no_std]
#![no_main]

use defects::wdm::{Device, Function, complete};
use defects::*;

struct Driver;

impl Function for Driver {
    fn control(_device: &Device, irp: *mut IRP) -> NTSTATUS {
        complete(irp, mistake!(STATUS_PENDING => STATUS_SUCCESS))
    }
}

function_driver!(Driver);
