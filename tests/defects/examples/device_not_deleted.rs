//! Is unloaded and leaves its device object.
#![no_std]
#![no_main]

use defects::wdm::{Device, Function};
use defects::*;

struct Driver;

impl Function for Driver {
    fn remove(device: &Device) {
        device.switch_off();
        IoDetachDevice(device.lower);
        mistake!(() => IoDeleteDevice(device.own));
    }
}

function_driver!(Driver);
