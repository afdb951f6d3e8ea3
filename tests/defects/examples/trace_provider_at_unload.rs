//! Is unloaded and stays registered as a provider of events.
#![no_std]
#![no_main]

use defects::*;

static HANDLE: Shared<u64> = Shared::new();
const PROVIDER: GUID = wdm::INTERFACE;

fn start(_driver: *mut DRIVER_OBJECT) {
    EtwRegister(&PROVIDER, null_mut(), null_mut(), HANDLE.at());
}

fn stop() {
    mistake!(0 => EtwUnregister(HANDLE.get()));
}

service!(start, stop);
