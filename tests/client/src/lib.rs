//! netdmatest.sys: a legacy-style NetDMA client and copy test.
//!
//! It does what the Windows client of NetDMA did, on request of a program: registers as a client, allocates channels,
//! submits copies between locked pages, and learns of their completion by callback or by polling. The requests are those
//! of `netdma-ioctl`.
//!
//! | Module | Holds |
//! |---|---|
//! | [`device`] | the KMDF device: requests in, answers out |
//! | [`client`] | the registration with netdma.sys and the table of open channels |
//! | [`channel`] | one channel: submission, completion, polling, the watch for a stuck engine |
//! | [`operation`] | one request with its pieces |
//! | [`queue`] | a queue of fixed capacity |
//! | [`rendezvous`] | where a submission and its completion meet |
//! | [`netdma`] | the imports from netdma.sys, made safe |
#![no_std]

extern crate wdk_panic;

mod channel;
mod client;
mod device;
mod netdma;
mod operation;
mod queue;
mod rendezvous;

use netdma_events::{Event, Sink};
use nt::irql::Passive;
use nt::pool::Tag;
use nt::wdf;
use nt::{Result, sys};

use device::TestDevice;

/// Tag of every allocation.
const TAG: Tag = Tag::new(*b"NDmT");

nt::trace_provider! {
    /// Where events go: ETW provider "NetDMA.Netdmatest".
    TRACE, "NetDMA.Netdmatest",
    // {2A7E4C10-93D5-4B0E-8F61-7C3B52E9A4D3}
    sys::GUID {
        Data1: 0x2A7E_4C10,
        Data2: 0x93D5,
        Data3: 0x4B0E,
        Data4: [0x8F, 0x61, 0x7C, 0x3B, 0x52, 0xE9, 0xA4, 0xD3],
    }
}

/// Records an event.
fn trace(event: Event) {
    TRACE.write(event);
}

/// The driver. Its devices hold all state.
struct TestDriver;

nt::wdf_context!(TestDriver);

impl wdf::Driver for TestDriver {
    fn device_add(&self, init: wdf::DeviceInit<'_>, irql: &mut Passive) -> Result {
        TestDevice::add(init, irql)
    }

    fn unload(&self, irql: &mut Passive) {
        TRACE.unregister(irql);
    }
}

nt::wdf_driver_entry!(|_service_key, irql| {
    TRACE.register(irql);
    Ok(TestDriver)
});
