//! Returns at another IRQL than it was called at.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let old = KfRaiseIrql(2);
    mistake!(_ = old => KeLowerIrql(old));
}

service!(start);
