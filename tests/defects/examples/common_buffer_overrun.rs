//! Writes behind the end of a common buffer.
#![no_std]
#![no_main]

use defects::wdm::{Device, Function, StackLocation};
use defects::*;

use defects::dma::Adapter;

struct Driver;

impl Function for Driver {
    fn start(device: &Device, _start: &StackLocation) {
        let adapter = Adapter::of(device);
        let buffer = adapter.allocate(4096);
        store(buffer.memory.cast::<u8>(), mistake!(4096 => 4095), 1);
        adapter.free(buffer);
        adapter.put();
    }
}

function_driver!(Driver);
