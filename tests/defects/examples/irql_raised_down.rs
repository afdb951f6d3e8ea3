//! Raises the IRQL to a lower one.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let old = KfRaiseIrql(2);
    KfRaiseIrql(mistake!(1 => 2));
    KeLowerIrql(old);
}

service!(start);
