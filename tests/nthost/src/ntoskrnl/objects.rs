//! Reference counts of kernel objects.

use crate::kernel::Kernel;
use crate::stop::{Fault, bugcheck};

/// An object of the kernel's own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Object {
    references: u32,
}

impl Kernel {
    /// Counts references to an object in a system allocation from now on, beginning with one.
    pub(crate) fn adopt_object(&self, object: u64) {
        self.services.objects.with(|objects| objects.insert(object, Object { references: 1 }));
    }

    /// One more reference. Something that is no object stops the machine.
    pub fn reference_object(&self, object: u64) -> u32 {
        let count = self.services.objects.with(|objects| {
            let object = objects.get_mut(&object)?;
            object.references += 1;
            Some(object.references)
        });
        count.unwrap_or_else(|| self.no_object(object))
    }

    /// One reference less; the last one frees the object.
    pub fn dereference_object(&self, object: u64) -> u32 {
        let count = self.services.objects.with(|objects| {
            let entry = objects.get_mut(&object)?;
            entry.references -= 1;
            let left = entry.references;
            if left == 0 {
                objects.remove(&object);
            }
            Some(left)
        });
        let Some(left) = count else { self.no_object(object) };
        if left == 0 {
            self.system_free(object);
        }
        left
    }

    fn no_object(&self, object: u64) -> ! {
        self.stop(Fault::new("ObReference", bugcheck::REFERENCE_BY_POINTER)
            .text(format!("a reference to something that is no object: {}", self.describe_address(object)))
            .parameter(0, "")
            .parameter(object, "the address"));
    }
}
