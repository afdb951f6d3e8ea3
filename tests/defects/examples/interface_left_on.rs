//! Leaves its interface on when the device is removed.
#![no_std]
#![no_main]

use defects::wdm::{Device, Function};
use defects::*;

struct Driver;

impl Function for Driver {
    fn remove(device: &Device) {
        mistake!(() => device.switch_off());
        IoDetachDevice(device.lower);
        IoDeleteDevice(device.own);
    }
}

function_driver!(Driver);
