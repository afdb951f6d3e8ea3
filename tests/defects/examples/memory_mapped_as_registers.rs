//! Maps ordinary memory as device registers.
#![no_std]
#![no_main]

use defects::wdm::{Device, Function, StackLocation, registers};
use defects::*;

struct Driver;

impl Function for Driver {
    fn start(_device: &Device, start: &StackLocation) {
        let (physical, bytes) = registers(start);
        let block = allocate::<c_void>(bytes);
        let mapped = MmMapIoSpaceEx(mistake!(MmGetPhysicalAddress(block) => physical), bytes, 0x204);
        MmUnmapIoSpace(mapped, bytes);
        ExFreePool(block);
    }
}

function_driver!(Driver);
