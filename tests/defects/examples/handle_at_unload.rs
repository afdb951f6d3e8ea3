//! Is unloaded and leaves the handle of a thread open.
#![no_std]
#![no_main]

use defects::*;

extern "C" fn worker(_context: *mut c_void) {}

fn start(_driver: *mut DRIVER_OBJECT) {
    let mut handle = null_mut();
    PsCreateSystemThread(&mut handle, 0x1F_FFFF, null_mut(), null_mut(), null_mut(), worker, null_mut());
    sleep(1);
    mistake!(0 => ZwClose(handle));
}

service!(start);
