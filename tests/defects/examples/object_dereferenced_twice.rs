//! Gives a reference to a thread back that it does not have.
#![no_std]
#![no_main]

use defects::*;

extern "C" fn worker(_context: *mut c_void) {}

fn start(_driver: *mut DRIVER_OBJECT) {
    let thread = spawn(worker);
    join(thread);
    mistake!(ObfDereferenceObject(thread) => 0);
}

service!(start);
