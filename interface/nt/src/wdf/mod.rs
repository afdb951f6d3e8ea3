//! The drivers' framework (KMDF 1.15), as far as our drivers use it.
//!
//! A driver is a type that implements [`Driver`]; its devices are values of a type that implements [`Device`], their
//! interrupts of one that implements [`Interrupt`]. The values live in the framework's object contexts. The C callbacks
//! that the framework calls are generic functions in these modules: they turn handles and IRQLs into types, call the
//! trait's method, and turn its result into an NTSTATUS. A .sys needs no unsafe code for any of it:
//!
//! ```no_run
//! use nt::irql::Passive;
//! use nt::{Result, wdf};
//!
//! struct ExampleDriver;
//!
//! impl wdf::Driver for ExampleDriver {
//!     fn device_add(&self, init: wdf::DeviceInit<'_>, irql: &mut Passive) -> Result {
//!         init.create(irql, |device, _irql| Ok(ExampleDevice { pdo: device.physical_device()? })).map(|_device| ())
//!     }
//!
//!     fn unload(&self, _irql: &mut Passive) {}
//! }
//! nt::wdf_context!(ExampleDriver);
//! nt::wdf_driver_entry!(|_service_key, _irql| Ok(ExampleDriver));
//!
//! struct ExampleDevice {
//!     pdo: nt::object::Device,
//! }
//!
//! impl wdf::Device for ExampleDevice {
//!     fn cleanup(&self, _irql: &mut Passive) {
//!         let _address = self.pdo.as_ptr();
//!     }
//! }
//! nt::wdf_context!(ExampleDevice);
//! ```
//!
//! Every configuration structure has one constructor, so its size member is never wrong. Structures and functions are those of
//! wdf.h and the headers it includes; which of them are offered, and their shape here, is our choice.

mod context;
mod device;
mod driver;
mod interrupt;
mod request;
mod resources;

pub use context::{Context, ContextInfo};
pub use device::{Device, DeviceHandle, DeviceInit, PowerState};
pub use driver::{Driver, entry};
pub use interrupt::{Interrupt, InterruptHandle, InterruptInfo};
pub use request::{DeviceControl, File, Request, Served};
pub use resources::{Interrupts, Memory, Resource, Resources};
