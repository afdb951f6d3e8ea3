//! Frees the memory of an event that a thread waits for.
#![no_std]
#![no_main]

use defects::*;

static EVENT: Shared<*mut KEVENT> = Shared::new();

extern "C" fn waiter(_context: *mut c_void) {
    wait(EVENT.get());
}

fn start(_driver: *mut DRIVER_OBJECT) {
    EVENT.set(allocate(size_of::<KEVENT>()));
    KeInitializeEvent(EVENT.get(), 0, 0);
    let thread = spawn(waiter);
    sleep(1);
    mistake!(() => { KeSetEvent(EVENT.get(), 0, 0); join(thread) });
    ExFreePool(EVENT.get().cast());
}

service!(start);
