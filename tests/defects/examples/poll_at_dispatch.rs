//! Polls at DISPATCH_LEVEL for longer than anybody may.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let old = KfRaiseIrql(2);
    let begun = KeQueryPerformanceCounter(null_mut());
    while KeQueryPerformanceCounter(null_mut()) - begun < mistake!(150_000 => 300) {
        KeStallExecutionProcessor(5);
    }
    KeLowerIrql(old);
}

service!(start);
