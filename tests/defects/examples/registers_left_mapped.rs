//! Is unloaded and leaves device registers mapped.
#![no_std]
#![no_main]

use defects::wdm::{Device, Function, StackLocation, registers};
use defects::*;

struct Driver;

impl Function for Driver {
    fn start(_device: &Device, start: &StackLocation) {
        let (physical, bytes) = registers(start);
        let mapped = MmMapIoSpaceEx(physical, bytes, 0x204);
        mistake!(() => MmUnmapIoSpace(mapped, bytes));
    }
}

function_driver!(Driver);
