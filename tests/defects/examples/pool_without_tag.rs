//! Allocates pool without a tag.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    ExFreePool(ExAllocatePool2(memory::NON_PAGED, 32, mistake!(0 => memory::TAG)));
}

service!(start);
