//! Keeps its DMA adapter when the device is stopped.
#![no_std]
#![no_main]

use defects::wdm::{Device, Function, StackLocation};
use defects::*;

use defects::dma::Adapter;

static ADAPTER: Shared<Adapter> = Shared::new();

struct Driver;

impl Function for Driver {
    fn start(device: &Device, _start: &StackLocation) {
        ADAPTER.set(Adapter::of(device));
    }

    fn stop(_device: &Device) {
        mistake!(() => ADAPTER.get().put());
    }
}

function_driver!(Driver);
