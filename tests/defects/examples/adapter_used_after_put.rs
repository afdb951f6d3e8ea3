//! Asks an adapter for a common buffer that it has put back.
#![no_std]
#![no_main]

use defects::wdm::{Device, Function, StackLocation};
use defects::*;

use defects::dma::Adapter;

struct Driver;

impl Function for Driver {
    fn start(device: &Device, _start: &StackLocation) {
        let adapter = Adapter::of(device);
        let operations = adapter.operations();
        let use_it = || adapter.free_by(&operations, adapter.allocate_by(&operations, 4096));
        mistake!({ adapter.put(); use_it() } => { use_it(); adapter.put() });
    }
}

function_driver!(Driver);
