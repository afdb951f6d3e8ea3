//! Binding a driver to the framework: what WDFLDR.SYS does.

use super::driver::{Client, GLOBALS_NAME, GLOBALS_SIZE};
use super::{FUNCTION_COUNT, names, status, unsupported};
use crate::export::{PASSIVE, exports};
use crate::kernel::Kernel;

/// sizeof(WDF_BIND_INFO) on x64: component 8, major 0x10, minor 0x14, build 0x18, count 0x1C, table 0x20, module 0x28.
const BIND_INFO_SIZE: u32 = 0x30;
impl Kernel {
    /// A driver object goes away: whatever its stub did not unbind is unbound now.
    pub(crate) fn forget_framework_driver(&self, object: u64) {
        if let Some((globals, _)) = self.wdf_client_of_driver(object) {
            self.wdf_violation(
                "WdfVersionUnbind",
                format!("a driver leaves without unbinding ({globals:#x})"),
            );
        }
    }

    /// The function table that a client's image points to.
    fn wdf_table(&self, count: usize) -> u64 {
        let size = u64::try_from(count).unwrap_or(0) * 8;
        let table = self.system_allocate(size, "KMDF function table");
        for (index, slot) in (0..count).zip((0..).step_by(8)) {
            let implemented = self.find_export(Some("Wdf01000.sys"), &names::name(index));
            let export = implemented.or_else(|| unsupported::ENTRIES.get(index).copied());
            let address = export.map_or(0, |export| self.export_address(export));
            self.write(table + slot, address);
        }
        table
    }
}

exports! {
    module "WDFLDR.SYS";

    /// Binds a driver: hands out the function table and the driver's globals.
    fn WdfVersionBind(k; object: u64, path: u64, info: u64, globals: u64) -> i32
        [PASSIVE, "KMDF source, kmdf/src/dynamic: called from the driver's entry point"]
    {
        if k.allocation_fails() {
            return status::INSUFFICIENT_RESOURCES;
        }
        let size: u32 = k.read(info);
        let component = k.wide_string(k.read(info + 8));
        let (major, minor): (u32, u32) = (k.read(info + 0x10), k.read(info + 0x14));
        let count: u32 = k.read(info + 0x1C);
        if size != BIND_INFO_SIZE || component != "KmdfLibrary" {
            return status::INVALID_PARAMETER;
        }
        // The machine has KMDF 1.15 (D7): an older minor version binds too, a newer one does not.
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if major != 1 || minor > 15 || count > FUNCTION_COUNT {
            k.record(format!("KMDF {major}.{minor} with {count} functions is asked for, 1.15 with 444 is there"), 0);
            return status::REVISION_MISMATCH;
        }
        let service = k.unicode_string(path).rsplit('\\').next().unwrap_or_default().to_owned();
        let table = k.wdf_table(count);
        let memory = k.system_allocate(GLOBALS_SIZE, format!("WDF_DRIVER_GLOBALS of {service}"));
        let name: Vec<u8> = service.bytes().take(31).collect();
        k.write_bytes(memory + GLOBALS_NAME, &name);
        let slot: u64 = k.read(info + 0x20);
        if minor < 15 {
            // Up to 1.13 the image holds the table itself; from 1.15 on it holds a pointer.
            let bytes = k.bytes(table, count * 8);
            k.write_bytes(slot, &bytes);
        } else {
            k.write(slot, table);
        }
        k.write(globals, memory);
        let client = Client { object, table, service, driver: 0, registry_path: 0, device_add: 0, unload: 0 };
        k.kmdf.clients.with(|clients| clients.insert(memory, client));
        status::SUCCESS
    }

    /// Undoes WdfVersionBind.
    fn WdfVersionUnbind(k; _path: u64, _info: u64, globals: u64) -> i32
        [PASSIVE, "KMDF source, kmdf/src/dynamic: called when a driver unloads"]
    {
        let client = k.wdf_client_of(globals);
        // A DriverEntry that failed after WdfDriverCreate leaves its WDFDRIVER to the framework.
        if client.driver != 0 {
            k.wdf_delete(client.driver);
        }
        let left = k.wdf_left(globals);
        if let Some(first) = left.first() {
            k.wdf_violation(
                "WdfObjectLeak",
                format!("{} is unbound and {} framework object(s) still exist, for example {first}", client.service, left.len()),
            );
        }
        k.kmdf.clients.with(|clients| clients.remove(&globals));
        if client.registry_path != 0 {
            k.system_free(client.registry_path);
        }
        k.system_free(client.table);
        k.system_free(globals);
        status::SUCCESS
    }
}
