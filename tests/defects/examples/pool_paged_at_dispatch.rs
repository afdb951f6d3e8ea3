//! Allocates paged pool at DISPATCH_LEVEL.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let old = KfRaiseIrql(2);
    let block = ExAllocatePool2(mistake!(memory::PAGED => memory::NON_PAGED), 32, memory::TAG);
    KeLowerIrql(old);
    ExFreePool(block);
}

service!(start);
