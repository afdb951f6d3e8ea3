//! Maps registers where no device answers.
#![no_std]
#![no_main]

use defects::wdm::{Device, Function, StackLocation, registers};
use defects::*;

struct Driver;

impl Function for Driver {
    fn start(_device: &Device, start: &StackLocation) {
        let (physical, bytes) = registers(start);
        let mapped = MmMapIoSpaceEx(physical + mistake!(1 << 40 => 0), bytes, 0x204);
        MmUnmapIoSpace(mapped, bytes);
    }
}

function_driver!(Driver);
