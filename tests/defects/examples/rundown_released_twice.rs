//! Releases rundown protection more often than it took it.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    let rundown = Shared::<u64>::new();
    ExInitializeRundownProtection(rundown.at());
    ExAcquireRundownProtection(rundown.at());
    ExReleaseRundownProtection(rundown.at());
    mistake!(ExReleaseRundownProtection(rundown.at()) => ());
}

service!(start);
