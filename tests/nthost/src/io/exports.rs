//! The I/O manager's functions that drivers import.

use super::interface::Guid;
use super::layout::{device, status};
use crate::export::{APC, DISPATCH, PASSIVE, exports};
use crate::kernel::Kernel;
use crate::memory::pool::PoolRequest;

/// Reads a GUID.
pub(crate) fn guid(k: &Kernel, address: u64) -> Guid {
    Guid::from_bytes(k.read(address))
}

/// Writes a string as a UNICODE_STRING that owns pool memory (RtlFreeUnicodeString frees it).
fn give_string(k: &Kernel, target: u64, text: &str) -> i32 {
    let units: Vec<u8> = text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    let size = u64::try_from(units.len()).unwrap_or(0);
    let request = PoolRequest { size, tag: u32::from_le_bytes(*b"Io  "), nonpaged: false, zero: true };
    let Some(buffer) = k.pool_allocate(request) else { return status::INSUFFICIENT_RESOURCES };
    k.write_bytes(buffer, &units);
    let length = u16::try_from(units.len()).unwrap_or(u16::MAX);
    k.write(target, length.saturating_sub(2));
    k.write(target + 2, length);
    k.write(target + 8, buffer);
    status::SUCCESS
}

exports! {
    module "ntoskrnl.exe";

    /// Makes a device object.
    fn IoCreateDevice(k; driver: u64, extension: u32, name: u64, kind: u32, characteristics: u32, exclusive: u8, result: u64)
        -> i32 [APC, "Learn, IoCreateDevice: <= APC_LEVEL"]
    {
        if k.allocation_fails() {
            return status::INSUFFICIENT_RESOURCES;
        }
        let name = k.unicode_string(name);
        let name = (!name.is_empty()).then_some(name);
        match k.create_device(driver, extension, name.as_deref(), kind, characteristics) {
            Ok(made) => {
                if exclusive != 0 {
                    let flags: u32 = k.read(made + device::FLAGS);
                    k.write(made + device::FLAGS, flags | device::DO_EXCLUSIVE);
                }
                k.write(result, made);
                status::SUCCESS
            }
            Err(error) => error,
        }
    }

    /// Deletes a device object.
    fn IoDeleteDevice(k; target: u64) [APC, "Learn, IoDeleteDevice: <= APC_LEVEL"] {
        k.delete_device(target);
    }

    /// Attaches to the top of a stack.
    fn IoAttachDeviceToDeviceStack(k; source: u64, target: u64) -> u64
        [DISPATCH, "Learn, IoAttachDeviceToDeviceStack: <= DISPATCH_LEVEL"]
    {
        k.attach_device_object(source, target)
    }

    /// Detaches whatever is attached to `target`.
    fn IoDetachDevice(k; target: u64) [PASSIVE, "Learn, IoDetachDevice: PASSIVE_LEVEL"] {
        k.detach_device_object(target);
    }

    /// Sends a packet down.
    fn IofCallDriver(k; target: u64, packet: u64) -> i32 [DISPATCH, "Learn, IoCallDriver: <= DISPATCH_LEVEL"] {
        k.call_driver(target, packet)
    }

    /// Completes a packet.
    fn IofCompleteRequest(k; packet: u64, _boost: u8) [DISPATCH, "Learn, IoCompleteRequest: <= DISPATCH_LEVEL"] {
        k.complete_irp(packet);
    }

    /// Cancels a packet.
    fn IoCancelIrp(k; packet: u64) -> u8 [DISPATCH, "Learn, IoCancelIrp: <= DISPATCH_LEVEL"] {
        k.cancel_irp(packet);
        1
    }

    /// Takes the cancel spin lock.
    fn IoAcquireCancelSpinLock(k; old: u64) [DISPATCH, "Learn, IoAcquireCancelSpinLock: <= DISPATCH_LEVEL"] {
        let irql = k.acquire_cancel_lock();
        k.write(old, irql);
    }

    /// Releases the cancel spin lock.
    fn IoReleaseCancelSpinLock(k; old: u8) [crate::export::Between(2, 2), "Learn, IoReleaseCancelSpinLock: DISPATCH_LEVEL"] {
        k.release_cancel_lock(old);
    }

    /// Registers an interface of a device.
    fn IoRegisterDeviceInterface(k; pdo: u64, class: u64, reference: u64, link: u64) -> i32
        [PASSIVE, "Learn, IoRegisterDeviceInterface: PASSIVE_LEVEL"]
    {
        if k.allocation_fails() {
            return status::INSUFFICIENT_RESOURCES;
        }
        match k.register_interface(pdo, guid(k, class), &k.unicode_string(reference)) {
            Ok(name) => give_string(k, link, &name),
            Err(error) => error,
        }
    }

    /// Turns an interface on or off.
    fn IoSetDeviceInterfaceState(k; link: u64, enable: u8) -> i32
        [PASSIVE, "Learn, IoSetDeviceInterfaceState: PASSIVE_LEVEL"]
    {
        k.enable_interface_link(&k.unicode_string(link), enable != 0)
    }

    /// Links a name to a device's name.
    fn IoCreateSymbolicLink(k; link: u64, target: u64) -> i32 [PASSIVE, "Learn, IoCreateSymbolicLink: PASSIVE_LEVEL"] {
        match k.device_at(&k.unicode_string(target)) {
            Some(device) => k.create_link(&k.unicode_string(link), device),
            None => status::OBJECT_NAME_NOT_FOUND,
        }
    }

    /// Removes a link.
    fn IoDeleteSymbolicLink(k; link: u64) -> i32 [PASSIVE, "Learn, IoDeleteSymbolicLink: PASSIVE_LEVEL"] {
        k.delete_link(&k.unicode_string(link))
    }

    /// A property of a device.
    fn IoGetDeviceProperty(k; pdo: u64, property: u32, room: u32, buffer: u64, needed: u64) -> i32
        [PASSIVE, "Learn, IoGetDeviceProperty: PASSIVE_LEVEL"]
    {
        k.device_property(pdo, property, room, buffer, needed)
    }

    /// Opens the hardware or software key of a device.
    fn IoOpenDeviceRegistryKey(k; pdo: u64, kind: u32, _access: u32, handle: u64) -> i32
        [PASSIVE, "Learn, IoOpenDeviceRegistryKey: PASSIVE_LEVEL"]
    {
        let path = k.instance_of(pdo).and_then(|instance| k.device_key(&instance, kind));
        match path.ok_or(status::INVALID_DEVICE_REQUEST).and_then(|path| k.open_key(&path, true)) {
            Ok(key) => {
                k.write(handle, key);
                status::SUCCESS
            }
            Err(error) => error,
        }
    }

    /// Closes a handle.
    fn ZwClose(k; handle: u64) -> i32 [PASSIVE, "Learn, ZwClose: PASSIVE_LEVEL"] {
        if k.close_key(handle) { status::SUCCESS } else { k.close_handle(handle).unwrap_or(status::INVALID_HANDLE) }
    }
}
