//! netdmacopy.sys: the smallest NetDMA client, the example of docs/client-guide.md. Its device starts if a copy of 64 KiB comes
//! out right, whether an engine made it or, where there is none, the processor.
//!
//! | Module | Holds |
//! |---|---|
//! | [`client`] | registration, channel, copy, fallback |
#![no_std]

extern crate wdk_panic;

mod client;

use core::sync::atomic::Ordering;

use nt::irql::Passive;
use nt::mdl::Buffer;
use nt::pool::Tag;
use nt::wdf::{self, Device, DeviceHandle, Resources};
use nt::{Result, Status};

use client::Client;

/// Marks our memory in pool listings.
const TAG: Tag = Tag::new(*b"NDmC");

/// Bytes that are copied.
const LENGTH: u32 = 64 << 10;

struct CopyDriver;

nt::wdf_context!(CopyDriver);

impl wdf::Driver for CopyDriver {
    fn device_add(&self, init: wdf::DeviceInit<'_>, irql: &mut Passive) -> Result {
        init.create(irql, |_device, _irql| Ok(CopyDevice)).map(|_device| ())
    }

    fn unload(&self, _irql: &mut Passive) {}
}

struct CopyDevice;

nt::wdf_context!(CopyDevice);

impl Device for CopyDevice {
    fn prepare_hardware(
        &self,
        _device: DeviceHandle<'_, Self>,
        _raw: Resources<'_>,
        _translated: Resources<'_>,
        irql: &mut Passive,
    ) -> Result {
        demonstrate(irql)
    }
}

// guide: demonstrate
/// Copies a buffer and compares.
///
/// # Errors
/// DATA_ERROR when the copy is wrong; else what was reported.
fn demonstrate(irql: &mut Passive) -> Result {
    let (from, to) = (Buffer::new(TAG, LENGTH)?, Buffer::new(TAG, LENGTH)?);
    for (byte, number) in from.bytes().iter().zip(0_u32..) {
        byte.store((number % 251) as u8, Ordering::Relaxed);
    }
    let client = Client::register(irql)?;
    let copied = client.copy(&to, &from, LENGTH, irql);
    client.deregister(irql);
    copied?;
    let pairs = from.bytes().iter().zip(to.bytes());
    let equal = pairs
        .fold(true, |equal, (from, to)| equal & (from.load(Ordering::Relaxed) == to.load(Ordering::Relaxed)));
    if equal { Ok(()) } else { Err(Status::DATA_ERROR) }
}
// guide: end

nt::wdf_driver_entry!(|_service_key, _irql| Ok(CopyDriver));
