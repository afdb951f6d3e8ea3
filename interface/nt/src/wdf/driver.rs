//! The driver object.
//!
//! "WdfDriverCreate", in DriverEntry and so at PASSIVE_LEVEL.

use wdk_sys::{
    DRIVER_OBJECT, NTSTATUS, PCUNICODE_STRING, ULONG, UNICODE_STRING, WDF_DRIVER_CONFIG, WDFDEVICE_INIT,
    WDFDRIVER, WDFOBJECT, call_unsafe_wdf_function_binding,
};

use super::context::{self, Context};
use super::device::DeviceInit;
use crate::irql::Passive;
use crate::string::Wide;
use crate::{Result, Status};

/// A driver: what happens when the framework offers a device, and when the image is unloaded.
pub trait Driver: Context {
    /// A device has been found (EvtDriverDeviceAdd). PASSIVE_LEVEL.
    ///
    /// # Errors
    /// Whatever kept the device from being created; the framework undoes the rest.
    fn device_add(&self, init: DeviceInit<'_>, irql: &mut Passive) -> Result;

    /// The image is about to be unloaded (EvtDriverUnload). Not called when loading failed. PASSIVE_LEVEL.
    fn unload(&self, irql: &mut Passive);
}

/// Generates DriverEntry. The expression is a `fn(Wide<'_>, &mut Passive) -> Result<impl Driver>` that is given the
/// path of the service key and makes the driver's value.
#[macro_export]
macro_rules! wdf_driver_entry {
    ($make:expr) => {
        // SAFETY: the framework's entry stub calls this name, and nothing else in the image has it.
        #[unsafe(export_name = "DriverEntry")]
        unsafe extern "system" fn driver_entry(
            driver: *mut $crate::sys::DRIVER_OBJECT,
            registry_path: *const $crate::sys::UNICODE_STRING,
        ) -> $crate::sys::NTSTATUS {
            // SAFETY: the arguments are those that the I/O manager passed, at PASSIVE_LEVEL.
            unsafe { $crate::wdf::entry(driver, registry_path, $make) }
        }
    };
}

/// The body of DriverEntry: makes the driver's value and its framework object.
///
/// # Safety
/// Called from DriverEntry with its arguments, once.
pub unsafe fn entry<D: Driver>(
    driver: *mut DRIVER_OBJECT,
    registry_path: *const UNICODE_STRING,
    make: impl FnOnce(Wide<'_>, &mut Passive) -> Result<D>,
) -> NTSTATUS {
    // SAFETY: DriverEntry is called at PASSIVE_LEVEL.
    let mut irql = unsafe { Passive::assume() };
    // SAFETY: the I/O manager passes a valid string that lives during the call.
    let Some(path) = (unsafe { Wide::from_ptr(registry_path) }) else {
        return Status::INVALID_PARAMETER.code();
    };
    // SAFETY: the contract is passed on.
    let result = unsafe { create(driver, registry_path, path, make, &mut irql) };
    Status::from(result).code()
}

/// Creates the framework's driver object and fills its context.
///
/// # Safety
/// As [`entry`].
unsafe fn create<D: Driver>(
    driver: *mut DRIVER_OBJECT,
    registry_path: PCUNICODE_STRING,
    path: Wide<'_>,
    make: impl FnOnce(Wide<'_>, &mut Passive) -> Result<D>,
    irql: &mut Passive,
) -> Result {
    let mut config = WDF_DRIVER_CONFIG {
        Size: size_of::<WDF_DRIVER_CONFIG>() as ULONG,
        EvtDriverDeviceAdd: Some(device_add::<D>),
        EvtDriverUnload: Some(unload::<D>),
        ..WDF_DRIVER_CONFIG::default()
    };
    let mut attributes = context::attributes::<D>(None);
    let mut handle: WDFDRIVER = core::ptr::null_mut();
    // SAFETY: driver and path are DriverEntry's, the others are locals.
    let status = unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDriverCreate,
            driver,
            registry_path,
            &mut attributes,
            &mut config,
            &mut handle
        )
    };
    Status::check(status)?;
    // SAFETY: the framework has just given the handle; it is deleted when this function fails or the image is unloaded.
    let slot = unsafe { context::slot::<D>(handle.cast()) }?;
    let value = make(path, irql)?;
    // SAFETY: the first and only filling; no device is added before DriverEntry has returned.
    unsafe { slot.fill(value) };
    Ok(())
}

/// EvtDriverDeviceAdd.
unsafe extern "C" fn device_add<D: Driver>(driver: WDFDRIVER, init: *mut WDFDEVICE_INIT) -> NTSTATUS {
    // SAFETY: the framework calls this at PASSIVE_LEVEL.
    let mut irql = unsafe { Passive::assume() };
    let handle: WDFOBJECT = driver.cast();
    // SAFETY: the handle is valid, and the driver object outlives its callbacks.
    let result = match unsafe { context::value::<D>(handle) } {
        // SAFETY: the framework lends the structure for this call.
        Ok(value) => value.device_add(unsafe { DeviceInit::new(init) }, &mut irql),
        Err(status) => Err(status),
    };
    Status::from(result).code()
}

/// EvtDriverUnload.
unsafe extern "C" fn unload<D: Driver>(driver: WDFDRIVER) {
    // SAFETY: the framework calls this at PASSIVE_LEVEL.
    let mut irql = unsafe { Passive::assume() };
    let handle: WDFOBJECT = driver.cast();
    // SAFETY: the handle is valid, and the driver object outlives its callbacks.
    if let Ok(value) = unsafe { context::value::<D>(handle) } {
        value.unload(&mut irql);
    }
}
