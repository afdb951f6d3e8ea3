//! Calls a function at DISPATCH_LEVEL that is documented for PASSIVE_LEVEL.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let old = KfRaiseIrql(2);
    mistake!({ KeFlushQueuedDpcs(); KeLowerIrql(old) } => { KeLowerIrql(old); KeFlushQueuedDpcs() });
}

service!(start);
