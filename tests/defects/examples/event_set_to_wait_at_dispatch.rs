//! Sets an event at DISPATCH_LEVEL and announces a wait.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let event = Shared::<KEVENT>::new();
    KeInitializeEvent(event.at(), 0, 0);
    let old = KfRaiseIrql(2);
    KeSetEvent(event.at(), 0, mistake!(1 => 0));
    KeLowerIrql(old);
}

service!(start);
