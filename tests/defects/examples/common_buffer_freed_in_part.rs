//! Frees a common buffer with another length than it allocated.
#![no_std]
#![no_main]

use defects::wdm::{Device, Function, StackLocation};
use defects::*;

use defects::dma::{Adapter, Buffer};

struct Driver;

impl Function for Driver {
    fn start(device: &Device, _start: &StackLocation) {
        let adapter = Adapter::of(device);
        let buffer = adapter.allocate(4096);
        adapter.free(Buffer { length: mistake!(4000 => 4096), ..buffer });
        adapter.put();
    }
}

function_driver!(Driver);
