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

    /// One more reference; returns the count. Something that is no object stops the machine.
    pub fn reference_object(&self, object: u64) -> i64 {
        self.count(object, 1).unwrap_or_else(|| self.no_object(object))
    }

    /// One reference less; returns the count. The last one frees the object.
    pub fn dereference_object(&self, object: u64) -> i64 {
        let Some(left) = self.count(object, -1) else { self.no_object(object) };
        if left == 0 {
            self.check_device_dereference(object);
            self.services.objects.with(|objects| objects.remove(&object));
            self.system_free(object);
        }
        left
    }

    fn count(&self, object: u64, change: i32) -> Option<i64> {
        self.services.objects.with(|objects| {
            let object = objects.get_mut(&object)?;
            object.references = object.references.checked_add_signed(change)?;
            Some(i64::from(object.references))
        })
    }

    pub(crate) fn no_object(&self, object: u64) -> ! {
        self.stop(
            Fault::new("ObReference", bugcheck::REFERENCE_BY_POINTER)
                .text(format!(
                    "a reference to something that is no object: {}",
                    self.describe_address(object)
                ))
                .parameter(0, "")
                .parameter(object, "the address"),
        );
    }
}
