//! Gives a reference to the device below it back that it never took.
#![no_std]
#![no_main]

use defects::wdm::{Device, Function};
use defects::*;

struct Driver;

impl Function for Driver {
    fn added(device: &Device) {
        ObfReferenceObject(device.pdo.cast());
        ObfDereferenceObject(device.pdo.cast());
        mistake!(ObfDereferenceObject(device.pdo.cast()) => 0);
    }
}

function_driver!(Driver);
