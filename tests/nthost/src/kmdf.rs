//! The kernel-mode driver framework, version 1.15, as far as the drivers use it.
//!
//! Behaviour follows the framework's published source (microsoft/Windows-Driver-Frameworks, read for facts): which
//! callback runs when, at which IRQL, under which lock; what is validated; who owns whom. A function that is not
//! implemented stops the machine and names itself.

mod bind;
mod device;
mod driver;
mod interrupt;
mod names;
mod object;
mod power;
mod queue;
mod request;
mod resource;
mod unsupported;

use std::collections::BTreeMap;

use crate::export::Export;
use crate::guarded::Guarded;
use crate::kernel::Kernel;
use crate::stop::{Fault, bugcheck};

pub(crate) use names::FUNCTION_COUNT;

/// What the framework keeps.
#[derive(Debug, Default)]
pub(crate) struct Kmdf {
    objects: Guarded<object::Objects>,
    clients: Guarded<BTreeMap<u64, driver::Client>>,
    inits: Guarded<BTreeMap<u64, device::DeviceInit>>,
}

/// NTSTATUS values of wdfstatus.h and of the framework's own checks.
mod status {
    pub const INFO_LENGTH_MISMATCH: i32 = 0xC000_0004_u32 as i32;
    pub const DRIVER_INTERNAL_ERROR: i32 = 0xC000_0183_u32 as i32;
    pub const DEVICE_POWER_FAILURE: i32 = 0xC000_009E_u32 as i32;
    pub const REVISION_MISMATCH: i32 = 0xC000_0059_u32 as i32;
    pub const WDF_PAUSED: i32 = 0xC020_0203_u32 as i32;
    pub const WDF_BUSY: i32 = 0xC020_0204_u32 as i32;
    pub const WDF_REQUEST_ALREADY_PENDING: i32 = 0xC020_0207_u32 as i32;
    pub const WDF_REQUEST_INVALID_STATE: i32 = 0xC020_0208_u32 as i32;
    pub const WDF_OBJECT_ATTRIBUTES_INVALID: i32 = 0xC020_0209_u32 as i32;
    pub const WDF_NO_CALLBACK: i32 = 0xC020_020B_u32 as i32;
    pub const WDF_PARENT_ASSIGNMENT_NOT_ALLOWED: i32 = 0xC020_020F_u32 as i32;
    pub const WDF_SYNCHRONIZATION_SCOPE_INVALID: i32 = 0xC020_0210_u32 as i32;
    pub const WDF_EXECUTION_LEVEL_INVALID: i32 = 0xC020_0211_u32 as i32;
    pub use crate::io::layout::status::*;
}

/// The tables of the framework's functions.
pub(crate) fn tables() -> [&'static [&'static Export]; 8] {
    [
        bind::EXPORTS,
        driver::EXPORTS,
        device::EXPORTS,
        object::EXPORTS,
        interrupt::EXPORTS,
        queue::EXPORTS,
        request::EXPORTS,
        resource::EXPORTS,
    ]
}

impl Kernel {
    /// A rule of the framework is broken: WDF_VIOLATION, as the framework's verifier reports it.
    fn wdf_violation(&self, rule: &'static str, text: impl Into<String>) -> ! {
        self.stop(Fault::new(rule, bugcheck::WDF_VIOLATION).text(text))
    }

    /// Checks the `Size` field of a structure that a function without a result takes: the framework breaks into the
    /// debugger there.
    fn wdf_size(&self, structure: u64, name: &str, sizes: &[u32]) {
        let size: u32 = self.read(structure);
        if !sizes.contains(&size) {
            self.wdf_violation(
                "WdfStructureSize",
                format!("{name}.Size is {size:#x}; KMDF 1.15 knows {sizes:#x?}: initialise it with its INIT function"),
            );
        }
    }
}
