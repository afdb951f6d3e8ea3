//! Stays attached to a device that is removed.
#![no_std]
#![no_main]

use defects::wdm::{Device, Function};
use defects::*;

struct Driver;

impl Function for Driver {
    fn remove(device: &Device) {
        mistake!(device.switch_off() => device.leave());
    }
}

function_driver!(Driver);
