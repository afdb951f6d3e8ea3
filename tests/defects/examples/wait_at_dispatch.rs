//! Waits at DISPATCH_LEVEL.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let event = Shared::<KEVENT>::new();
    KeInitializeEvent(event.at(), 0, 0);
    let old = KfRaiseIrql(2);
    KeWaitForSingleObject(event.at().cast(), 0, 0, 0, mistake!(null() => &0));
    KeLowerIrql(old);
}

service!(start);
