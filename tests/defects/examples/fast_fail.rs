//! Ends itself with __fastfail.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    // SAFETY: what follows is the end.
    mistake!(unsafe { core::arch::asm!("int 0x29", in("ecx") 3) } => ());
}

service!(start);
