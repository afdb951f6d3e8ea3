//! Lowers the IRQL to a higher one.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    KeLowerIrql(mistake!(2 => 0));
}

service!(start);
