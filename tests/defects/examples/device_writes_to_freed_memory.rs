//! Frees a common buffer that the device goes on to write to.
#![no_std]
#![no_main]

use defects::wdm::{Device, Function, StackLocation};
use defects::*;

use defects::dma::Adapter;

struct Driver;

impl Function for Driver {
    fn start(device: &Device, start: &StackLocation) {
        let adapter = Adapter::of(device);
        let buffer = adapter.allocate(4096);
        store(buffer.memory.cast::<u64>(), 0, 0);
        let count = || dma::count_in(start, buffer);
        mistake!({ adapter.free(buffer); count() } => { count(); adapter.free(buffer) });
        adapter.put();
    }
}

function_driver!(Driver);
