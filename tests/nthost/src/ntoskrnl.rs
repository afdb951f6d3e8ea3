//! The kernel services of `ntoskrnl.exe` that drivers import, one file for each family.

pub(crate) mod locks;
mod objects;

use std::collections::BTreeMap;

use crate::export::Export;
use crate::guarded::Guarded;
use crate::kernel::Kernel;
use crate::loader::Image;

/// What the services keep.
#[derive(Debug, Default)]
pub(crate) struct Services {
    pub(crate) locks: Guarded<locks::Locks>,
    /// Reference counts of the kernel's own objects.
    pub(crate) objects: Guarded<BTreeMap<u64, objects::Object>>,
}

/// Every table of exported functions.
pub(crate) fn tables() -> [&'static [&'static Export]; 1] {
    [locks::EXPORTS]
}

impl Kernel {
    /// Stops the machine when an image leaves something behind that would call into it.
    pub(crate) fn check_services_at_unload(&self, image: &Image) {
        let _ = image;
    }
}
