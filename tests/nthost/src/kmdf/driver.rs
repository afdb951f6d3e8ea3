//! A driver of the framework: its client record, its WDFDRIVER, its unloading.

use super::object::Body;
use super::status;
use crate::export::{DISPATCH, PASSIVE, exports};
use crate::io::layout::driver;
use crate::kernel::Kernel;

/// A bound driver.
#[derive(Debug, Clone)]
pub(super) struct Client {
    /// Its driver object.
    pub(super) object: u64,
    pub(super) table: u64,
    pub(super) service: String,
    /// The WDFDRIVER, zero before WdfDriverCreate.
    pub(super) driver: u64,
    pub(super) registry_path: u64,
    /// EvtDriverDeviceAdd.
    pub(super) device_add: u64,
    pub(super) unload: u64,
}

/// sizeof(WDF_DRIVER_GLOBALS): driver 0, flags 8, tag 0xC, name 0x10 (32 bytes), displace unload 0x30 (wdfglobals.h).
pub(super) const GLOBALS_SIZE: u64 = 0x38;
pub(super) const GLOBALS_TAG: u64 = 0x0C;
pub(super) const GLOBALS_NAME: u64 = 0x10;
pub(super) const GLOBALS_DISPLACE: u64 = 0x30;
/// sizeof(WDF_DRIVER_CONFIG): device add 8, unload 0x10, flags 0x18, tag 0x1C (wdfdriver.h).
const DRIVER_CONFIG_SIZE: u32 = 0x20;
/// WdfDriverInitNonPnpDriver.
const NON_PNP: u32 = 1;

impl Kernel {
    /// The WDFDRIVER of a client.
    pub(super) fn wdf_driver(&self, globals: u64) -> u64 {
        self.wdf_client_of(globals).driver
    }

    pub(super) fn wdf_client_of(&self, globals: u64) -> Client {
        let known = self.kmdf.clients.with(|clients| clients.get(&globals).cloned());
        known.unwrap_or_else(|| {
            self.wdf_violation(
                "WdfDriverGlobals",
                format!("{globals:#x} are no driver globals of a bound driver"),
            )
        })
    }

    /// The client of a driver object.
    pub(super) fn wdf_client_of_driver(&self, object: u64) -> Option<(u64, Client)> {
        self.kmdf.clients.with(|clients| {
            let mut all = clients.iter();
            all.find(|(_, client)| client.object == object)
                .map(|(globals, client)| (*globals, client.clone()))
        })
    }
}

exports! {
    module "Wdf01000.sys";

    /// Makes the WDFDRIVER.
    fn WdfDriverCreate(k; globals: u64, object: u64, path: u64, attributes: u64, config: u64, result: u64) -> i32
        [PASSIVE, "Learn, WdfDriverCreate: PASSIVE_LEVEL"]
    {
        if k.allocation_fails() {
            return status::INSUFFICIENT_RESOURCES;
        }
        let mut client = k.wdf_client_of(globals);
        if k.read::<u32>(config) != DRIVER_CONFIG_SIZE {
            return status::INFO_LENGTH_MISMATCH;
        }
        if client.driver != 0 {
            return status::DRIVER_INTERNAL_ERROR;
        }
        let (device_add, unload): (u64, u64) = (k.read(config + 8), k.read(config + 0x10));
        let (flags, tag): (u32, u32) = (k.read(config + 0x18), k.read(config + 0x1C));
        if flags & NON_PNP != 0 && device_add != 0 {
            return status::INVALID_PARAMETER;
        }
        let attributes = match k.wdf_attributes(attributes, false) {
            Ok(attributes) => attributes,
            Err(error) => return error,
        };
        let handle = k.wdf_create(globals, 0, &attributes, Body::Driver);
        client.driver = handle;
        client.registry_path = k.make_unicode_string(&k.unicode_string(path));
        client.device_add = device_add;
        client.unload = unload;
        k.kmdf.clients.with(|clients| clients.insert(globals, client));
        k.write(globals, handle);
        k.write(globals + GLOBALS_TAG, tag);
        let non_pnp = flags & NON_PNP != 0;
        let has_unload = !non_pnp || unload != 0;
        k.write(globals + GLOBALS_DISPLACE, u8::from(has_unload));
        if has_unload {
            k.write(object + driver::UNLOAD, k.export_address(&FxDriverUnload::EXPORT));
        }
        // The framework is the driver that the system sees (KMDF source, FxDriver::Initialize).
        let extension: u64 = k.read(object + driver::EXTENSION);
        k.write(extension + driver::EXTENSION_ADD_DEVICE, k.export_address(&FxDriverAddDevice::EXPORT));
        let dispatch = k.export_address(&FxDeviceDispatch::EXPORT);
        (0..driver::MAJOR_FUNCTIONS).for_each(|major| k.write(object + driver::MAJOR_FUNCTION + 8 * major, dispatch));
        k.set_host_dispatch(object, crate::kmdf::device::dispatch);
        if result != 0 {
            k.write(result, handle);
        }
        status::SUCCESS
    }

    /// The framework's AddDevice: EvtDriverDeviceAdd.
    fn FxDriverAddDevice(k; object: u64, pdo: u64) -> i32 [PASSIVE, "KMDF source, FxDriver::AddDevice"] {
        k.framework_add_device(object, pdo).unwrap_or(status::UNSUCCESSFUL)
    }

    /// The framework's dispatch routine, one for all major functions.
    fn FxDeviceDispatch(k; device: u64, packet: u64) -> i32 [DISPATCH, "KMDF source, FxDevice::Dispatch"] {
        crate::kmdf::device::dispatch(k, device, packet)
    }

    /// The framework's DriverUnload: EvtDriverUnload, then the WDFDRIVER goes.
    fn FxDriverUnload(k; object: u64) [PASSIVE, "KMDF source, FxDriver::Unload"] {
        if let Some((globals, client)) = k.wdf_client_of_driver(object) {
            if client.unload != 0 {
                k.call("EvtDriverUnload", client.unload, &[client.driver]);
            }
            if client.driver != 0 {
                k.wdf_delete(client.driver);
            }
            k.kmdf.clients.with(|clients| clients.get_mut(&globals).map(|client| client.driver = 0));
        }
    }

    /// The driver object of a WDFDRIVER.
    fn WdfDriverWdmGetDriverObject(k; globals: u64, _driver: u64) -> u64
        [DISPATCH, "Learn, WdfDriverWdmGetDriverObject: <= DISPATCH_LEVEL"]
    {
        k.wdf_client_of(globals).object
    }

    /// The service key's path.
    fn WdfDriverGetRegistryPath(k; globals: u64, _driver: u64) -> u64
        [PASSIVE, "Learn, WdfDriverGetRegistryPath: PASSIVE_LEVEL"]
    {
        k.read(k.wdf_client_of(globals).registry_path + 8)
    }
}
