//! Runs into a breakpoint.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    // SAFETY: a breakpoint touches nothing.
    mistake!(unsafe { core::arch::asm!("int3") } => ());
}

service!(start);
