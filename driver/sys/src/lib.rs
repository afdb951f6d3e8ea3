//! ioatdma.sys: the KMDF function driver of Intel's I/OAT engine, and its NetDMA provider.
//!
//! Read in this order:
//!
//! | Module | What it holds |
//! |---|---|
//! | [`device`] | the device's life: added, started, in and out of D0, removed |
//! | [`engine`] | what the entry points and interrupts of one device share |
//! | [`lane`] | one channel with its owner, its lock and its DPC |
//! | [`entry_points`] | the nine functions that netdma.sys calls |
//! | [`interrupt`] | the interrupt service routine |
//! | [`report`] | what user mode is told, read only |
//! | [`affinity`] | which processor a channel reports on |
//! | [`settings`] | what an administrator may change |
//! | [`window`] | registers, configuration space and time, for ioat-core |
//! | [`netdma`] | the functions of netdma.sys that we call |
//!
//! What to tell the engine is decided in ioat-core; here is who asks, at which IRQL, under which lock.
#![no_std]
#![debugger_visualizer(natvis_file = "../ioatdma.natvis")]

extern crate wdk_panic;

mod affinity;
mod device;
mod engine;
mod entry_points;
mod interrupt;
mod lane;
mod netdma;
mod report;
mod settings;
mod window;

use nt::Result;
use nt::irql::Passive;
use nt::pool::Tag;
use nt::sys::GUID;
use nt::wdf;

/// Marks our memory in pool listings.
const TAG: Tag = Tag::new(*b"IoaD");

nt::trace_provider!(
    /// Where events go.
    TRACE,
    "NetDMA.Ioatdma",
    GUID {
        Data1: 0x6d3b_1e0a,
        Data2: 0x52c4,
        Data3: 0x4f7e,
        Data4: [0x9a, 0x41, 0x0c, 0x77, 0x2e, 0xb8, 0x15, 0xd3],
    }
);

/// The driver: one for all engines of the machine.
struct IoatDriver;
nt::wdf_context!(IoatDriver);

impl wdf::Driver for IoatDriver {
    fn device_add(&self, init: wdf::DeviceInit<'_>, irql: &mut Passive) -> Result {
        device::IoatDevice::add(init, irql)
    }

    fn unload(&self, irql: &mut Passive) {
        TRACE.unregister(irql);
    }
}

nt::wdf_driver_entry!(|_service_key, irql| {
    TRACE.register(irql);
    Ok(IoatDriver)
});
