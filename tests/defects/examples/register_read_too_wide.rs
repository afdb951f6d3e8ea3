//! Reads 16 bytes of device registers at once.
#![no_std]
#![no_main]

use defects::wdm::{Device, Function, StackLocation, registers};
use defects::*;

use core::arch::x86_64::__m128i;

struct Driver;

impl Function for Driver {
    fn start(_device: &Device, start: &StackLocation) {
        let (physical, bytes) = registers(start);
        let mapped = MmMapIoSpaceEx(physical, bytes, 0x204);
        let wide = || {
            core::hint::black_box(load(mapped.cast::<__m128i>(), 0));
        };
        let narrow = || {
            core::hint::black_box(load(mapped.cast::<u64>(), 0));
        };
        mistake!(wide() => narrow());
        MmUnmapIoSpace(mapped, bytes);
    }
}

function_driver!(Driver);
