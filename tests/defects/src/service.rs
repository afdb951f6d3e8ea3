//! A driver without devices: what it does it does in DriverEntry, and undoes in DriverUnload.

use core::ptr::null_mut;

use wdk_sys::{DEVICE_OBJECT, DRIVER_OBJECT};

use crate::kernel::{IoCreateDevice, IoDeleteDevice};

/// Makes a service of `fn start(*mut DRIVER_OBJECT)` and, where there is something to undo, `fn stop()`.
#[macro_export]
macro_rules! service {
    ($start:ident) => {
        fn stop() {}
        $crate::service!($start, stop);
    };
    ($start:ident, $stop:ident) => {
        $crate::entry_point!(b" /ENTRY:DriverEntry");

        // SAFETY: the only function of this name in the image.
        #[unsafe(no_mangle)]
        extern "C" fn DriverEntry(
            driver: *mut $crate::DRIVER_OBJECT,
            _registry_path: *mut $crate::UNICODE_STRING,
        ) -> $crate::NTSTATUS {
            extern "C" fn unload(_driver: *mut $crate::DRIVER_OBJECT) {
                core::hint::black_box::<fn()>($stop)();
            }
            // SAFETY: the system's driver object, for the driver to fill while it starts.
            unsafe { (*driver).DriverUnload = Some(unload) };
            // Not inlined, so that a stack names the driver's own functions.
            core::hint::black_box::<fn(*mut $crate::DRIVER_OBJECT)>($start)(driver);
            $crate::STATUS_SUCCESS
        }
    };
}

/// A device object of the driver's own without a name, for what needs one.
#[must_use]
pub fn control_device(driver: *mut DRIVER_OBJECT) -> *mut DEVICE_OBJECT {
    let mut device = null_mut();
    IoCreateDevice(driver, 0, null_mut(), wdk_sys::FILE_DEVICE_UNKNOWN, 0, 0, &mut device);
    device
}

/// Deletes it.
pub fn delete(device: *mut DEVICE_OBJECT) {
    IoDeleteDevice(device);
}
