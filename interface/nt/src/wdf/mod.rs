//! The drivers' framework (KMDF 1.15), as far as our drivers use it.
//!
//! A driver is a type that implements [`Driver`]; its devices are values of a type that implements [`Device`], their
//! interrupts of one that implements [`Interrupt`]. The values live in the framework's object contexts. The C callbacks
//! that the framework calls are generic functions in these modules: they turn handles and IRQLs into types, call the
//! trait's method, and turn its result into an NTSTATUS. A .sys needs no unsafe code for any of it:
//!
//! ```ignore
//! struct TestDriver;
//!
//! impl wdf::Driver for TestDriver {
//!     fn device_add(&self, init: wdf::DeviceInit<'_>, irql: &mut Passive) -> Result {
//!         init.create(irql, |device, irql| TestDevice::new(device, irql)).map(|_| ())
//!     }
//! }
//! nt::wdf_context!(TestDriver);
//! nt::wdf_driver_entry!(|_path, _irql| Ok(TestDriver));
//! ```
//!
//! Every configuration structure has one constructor, so its size member is never wrong.

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
pub use request::{DeviceControl, File, Request};
pub use resources::{Interrupts, Memory, Resource, Resources};
