//! Is unloaded while its service routine is connected to an interrupt.
#![no_std]
#![no_main]

use defects::wdm::{Device, Function, StackLocation};
use defects::*;

static INTERRUPT: Shared<*mut c_void> = Shared::new();

extern "C" fn service(_interrupt: *mut c_void, _context: *mut c_void) -> u8 {
    1
}

struct Driver;

impl Function for Driver {
    fn start(device: &Device, start: &StackLocation) {
        INTERRUPT.set(wdm::connect(device, start, service));
    }

    fn stop(_device: &Device) {
        mistake!(() => wdm::disconnect(INTERRUPT.get()));
    }
}

function_driver!(Driver);
