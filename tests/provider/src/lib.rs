//! netdmasoft.sys: a NetDMA provider without hardware. The processor does the copying; a test does the rest: it chooses the
//! version (1.0 to 2.1), takes entry points away, lets them fail, halts the engine. It binds to netdma.sys as a provider of
//! Windows 7 bound to the interface of its time, by import, and is the example of docs/provider-guide.md.
//!
//! | Module | Holds |
//! |---|---|
//! | [`netdma`] | the functions of netdma.sys that a provider calls |
//! | [`entry_points`] | the functions that netdma.sys calls |
//! | [`engine`] | what all channels share: how the engine is to behave, what was called |
//! | [`lane`] | one channel: its owner, its lock, its worker, its report |
//! | [`work`] | what an engine does with descriptors |
//! | [`device`] | the KMDF device: registers, starts, stops, takes commands of tests |
#![no_std]

extern crate wdk_panic;

mod device;
mod engine;
mod entry_points;
mod lane;
mod netdma;
mod work;

use nt::Result;
use nt::irql::Passive;
use nt::pool::Tag;
use nt::registry::Key;
use nt::wdf;

use device::SoftDevice;

/// Marks our memory in pool listings.
const TAG: Tag = Tag::new(*b"NDmS");

/// The driver. `version` is the one registered by devices that nobody tells otherwise.
struct SoftDriver {
    version: u32,
}

nt::wdf_context!(SoftDriver);

impl wdf::Driver for SoftDriver {
    fn device_add(&self, init: wdf::DeviceInit<'_>, irql: &mut Passive) -> Result {
        SoftDevice::add(init, self.version, irql)
    }

    fn unload(&self, _irql: &mut Passive) {}
}

nt::wdf_driver_entry!(|service_key, irql| {
    let version = Key::open(service_key, irql)
        .and_then(|key| key.subkey(nt::wide!("Parameters"), irql))
        .and_then(|parameters| parameters.dword(nt::wide!("Version"), irql));
    Ok(SoftDriver { version: version.unwrap_or(netdma_abi::Version::V2_1.0) })
});
