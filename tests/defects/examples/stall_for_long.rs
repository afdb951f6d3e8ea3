//! Keeps the processor busy for a time that belongs to a timer.
#![no_std]
#![no_main]

use defects::*;

fn start(_driver: *mut DRIVER_OBJECT) {
    KeStallExecutionProcessor(mistake!(200_000 => 20));
}

service!(start);
