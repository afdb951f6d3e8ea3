//! Devices: from a WDFDEVICE_INIT to a device object in a stack, and the packets it gets.

use super::interrupt::Policy;
use super::object::{Attributes, Body};
use super::status;
use crate::export::{DISPATCH, PASSIVE, UpTo, exports};
use crate::io::interface::Guid;
use crate::io::layout::{device, irp, major, pnp, power};
use crate::io::{guid, low32};
use crate::kernel::Kernel;

/// What a driver says about a device before it exists.
#[derive(Debug, Clone, Default)]
pub(super) struct DeviceInit {
    client: u64,
    pdo: u64,
    callbacks: Callbacks,
    sddl: Option<String>,
    name: Option<String>,
    kind: u32,
    characteristics: u32,
    exclusive: bool,
    direct: Option<u32>,
    file: FileConfig,
    /// The device that was made of it.
    made: u64,
}

/// WDF_FILEOBJECT_CONFIG with the attributes of file objects.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FileConfig {
    pub(super) create: u64,
    pub(super) close: u64,
    pub(super) cleanup: u64,
    /// File objects are made at all.
    pub(super) wanted: bool,
    pub(super) attributes: Attributes,
}

/// WDF_PNPPOWER_EVENT_CALLBACKS, by place in the structure.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Callbacks {
    pub(super) d0_entry: u64,
    pub(super) d0_entry_post_interrupts_enabled: u64,
    pub(super) d0_exit: u64,
    pub(super) d0_exit_pre_interrupts_disabled: u64,
    pub(super) prepare_hardware: u64,
    pub(super) release_hardware: u64,
    pub(super) io_cleanup: u64,
    pub(super) io_flush: u64,
    pub(super) io_init: u64,
    pub(super) io_suspend: u64,
    pub(super) io_restart: u64,
    pub(super) surprise_removal: u64,
    pub(super) query_remove: u64,
    pub(super) query_stop: u64,
}

/// A WDFDEVICE.
#[derive(Debug)]
pub(super) struct Device {
    /// The device object.
    pub(super) object: u64,
    pub(super) pdo: u64,
    /// The device below.
    pub(super) lower: u64,
    pub(super) callbacks: Callbacks,
    pub(super) file: FileConfig,
    pub(super) interrupts: Vec<u64>,
    pub(super) queues: Vec<u64>,
    pub(super) default_queue: u64,
    pub(super) interfaces: Vec<(Guid, String)>,
    links: Vec<String>,
    pub(super) power: Power,
    /// Raw and translated resource lists.
    pub(super) resources: Option<(u64, u64)>,
    /// EvtDeviceSelfManagedIoInit has run.
    pub(super) self_managed: bool,
    /// WdfDeviceSetFailed.
    pub(super) failed: bool,
}

/// Where a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Power {
    /// AddDevice is running or has run.
    Init,
    /// In EvtDevicePrepareHardware.
    Preparing,
    /// Started, in D0.
    Working,
    /// Started, in Dx.
    Low,
    /// Stopped for a rebalance.
    Stopped,
    /// Failed, or surprise removed: waits for its removal.
    Failed,
}

/// sizeof(WDF_PNPPOWER_EVENT_CALLBACKS) of 1.15 and of 1.13 and before (without EvtDeviceUsageNotificationEx).
const CALLBACKS_SIZES: [u32; 2] = [0x90, 0x88];
/// sizeof(WDF_FILEOBJECT_CONFIG).
const FILE_CONFIG_SIZE: u32 = 0x28;
/// WdfFileObjectNotRequired.
const FILE_NOT_REQUIRED: u32 = 1;
/// WdfDeviceIoDirect.
const IO_DIRECT: u32 = 3;
/// A WDFDEVICE_INIT is no address either.
const FIRST_INIT: u64 = 0xFFFF_A100_0000_0000;
/// FILE_DEVICE_UNKNOWN.
const FILE_DEVICE_UNKNOWN: u32 = 0x22;

impl Kernel {
    /// The framework's AddDevice; `None` when `driver` is none of its clients.
    pub(crate) fn framework_add_device(&self, driver: u64, pdo: u64) -> Option<i32> {
        let (globals, client) = self.wdf_client_of_driver(driver)?;
        let init = self.kmdf.inits.with(|inits| {
            let last = inits.last_key_value().map_or(FIRST_INIT, |(init, _)| *init);
            let init = last + 0x10;
            let fresh =
                DeviceInit { client: globals, pdo, kind: FILE_DEVICE_UNKNOWN, ..DeviceInit::default() };
            inits.insert(init, fresh);
            init
        });
        if client.device_add == 0 {
            return Some(status::WDF_NO_CALLBACK);
        }
        let result = low32(self.call("EvtDriverDeviceAdd", client.device_add, &[client.driver, init]));
        let made = self.kmdf.inits.with(|inits| inits.remove(&init)).map_or(0, |init| init.made);
        if made != 0 {
            if status::ok(result) {
                let object = self.wdf_device(made, |device| device.object);
                self.clear_initializing(object);
            } else {
                self.tear_down(made);
            }
        }
        Some(result)
    }

    /// Cleans a device up and takes its object out of the stack.
    pub(super) fn tear_down(&self, handle: u64) {
        self.wdf_dispose(handle);
        let (object, lower) = self.wdf_device(handle, |device| (device.object, device.lower));
        let links = self.wdf_device(handle, |device| core::mem::take(&mut device.links));
        for link in &links {
            self.delete_link(link);
        }
        self.detach_device_object(lower);
        self.delete_device(object);
        self.wdf_dereference(handle);
    }

    /// Runs `work` on a device.
    pub(super) fn wdf_device<R>(&self, handle: u64, work: impl FnOnce(&mut Device) -> R) -> R {
        let found = self.wdf_object(handle, |object| match &mut object.body {
            Body::Device(device) => Some(work(device)),
            _ => None,
        });
        found.unwrap_or_else(|| self.wrong_handle(handle, "WDFDEVICE"))
    }

    /// The WDFDEVICE of a device object.
    pub(super) fn wdf_device_of(&self, object: u64) -> Option<u64> {
        self.kmdf.objects.with(|objects| objects.device_of(object))
    }

    fn wdf_init(&self, init: u64, change: impl FnOnce(&mut DeviceInit)) {
        let known = self.kmdf.inits.with(|inits| match inits.get_mut(&init) {
            Some(known) if known.made == 0 => {
                change(known);
                true
            }
            _ => false,
        });
        if !known {
            self.wdf_violation(
                "WdfDeviceInit",
                format!("{init:#x} is no WDFDEVICE_INIT (any more): it is good until WdfDeviceCreate and in DeviceAdd"),
            );
        }
    }

    /// WdfDeviceCreate.
    fn wdf_device_create(&self, init: u64, attributes: u64) -> Result<u64, i32> {
        let attributes = self.wdf_attributes(attributes, false)?;
        let known = self.kmdf.inits.with(|inits| inits.get(&init).cloned());
        let Some(known) = known.filter(|known| known.made == 0) else {
            self.wdf_violation("WdfDeviceInit", format!("{init:#x} is no WDFDEVICE_INIT (any more)"))
        };
        let client = self.wdf_client_of(known.client);
        // A security descriptor needs a name, so one is generated (FILE_AUTOGENERATED_DEVICE_NAME).
        let generated = if known.sddl.is_some() && known.name.is_none() { 0x80 } else { 0 };
        let characteristics = known.characteristics | generated;
        let object =
            self.create_device(client.object, 0, known.name.as_deref(), known.kind, characteristics)?;
        if let Some(sddl) = &known.sddl {
            self.set_device_sddl(object, sddl);
        }
        let lower = self.attach_device_object(object, known.pdo);
        let mut flags: u32 = self.read(object + device::FLAGS);
        flags |= device::DO_POWER_PAGABLE;
        flags |= if known.direct == Some(IO_DIRECT) { device::DO_DIRECT_IO } else { device::DO_BUFFERED_IO };
        if known.exclusive {
            flags |= device::DO_EXCLUSIVE;
        }
        self.write(object + device::FLAGS, flags);
        let body = Device {
            object,
            pdo: known.pdo,
            lower,
            callbacks: known.callbacks,
            file: known.file,
            interrupts: Vec::new(),
            queues: Vec::new(),
            default_queue: 0,
            interfaces: Vec::new(),
            links: Vec::new(),
            power: Power::Init,
            resources: None,
            self_managed: false,
            failed: false,
        };
        let handle = self.wdf_create(known.client, client.driver, &attributes, Body::Device(Box::new(body)));
        self.kmdf.inits.with(|inits| inits.get_mut(&init).map(|known| known.made = handle));
        Ok(handle)
    }

    /// Registers an interface; a device that works already turns it on at once.
    fn wdf_create_interface(&self, handle: u64, class: Guid, reference: String) -> i32 {
        let (pdo, working) = self.wdf_device(handle, |device| (device.pdo, device.power == Power::Working));
        if let Err(error) = self.register_interface(pdo, class, &reference) {
            return error;
        }
        if working {
            self.enable_interface(pdo, class, &reference, true);
        }
        self.wdf_device(handle, |device| device.interfaces.push((class, reference)));
        status::SUCCESS
    }

    /// What filtering resource requirements does to the list of a stack with interrupts (D20).
    fn wdf_filter_requirements(&self, handle: u64, packet: u64) -> i32 {
        let lower = self.wdf_device(handle, |device| device.lower);
        let result = self.forward_and_wait(lower, packet);
        if !status::ok(result) && result != status::NOT_SUPPORTED {
            return self.finish_irp(packet, result, self.read(packet + irp::INFORMATION));
        }
        let list: u64 = self.read(packet + irp::INFORMATION);
        let policies: Vec<Policy> = self.interrupt_policies(handle);
        if list != 0 && !policies.is_empty() {
            self.apply_policies(list, &policies);
        }
        self.finish_irp(packet, result, list)
    }
}

/// The framework's dispatch routine.
pub(super) fn dispatch(k: &Kernel, object: u64, packet: u64) -> i32 {
    let (function, minor) = k.irp_function(packet);
    let Some(handle) = k.wdf_device_of(object) else {
        return k.finish_irp(packet, status::INVALID_DEVICE_REQUEST, 0);
    };
    let lower = k.wdf_device(handle, |device| device.lower);
    match (function, minor) {
        (major::PNP, pnp::START_DEVICE) => k.wdf_start(handle, packet),
        (major::PNP, pnp::QUERY_REMOVE_DEVICE) => {
            k.wdf_query(handle, packet, "EvtDeviceQueryRemove", |callbacks| callbacks.query_remove)
        }
        (major::PNP, pnp::QUERY_STOP_DEVICE) => {
            k.wdf_query(handle, packet, "EvtDeviceQueryStop", |callbacks| callbacks.query_stop)
        }
        (major::PNP, pnp::STOP_DEVICE) => k.wdf_stop(handle, packet),
        (major::PNP, pnp::SURPRISE_REMOVAL) => k.wdf_surprise_removal(handle, packet),
        (major::PNP, pnp::REMOVE_DEVICE) => k.wdf_remove(handle, packet),
        (major::PNP, pnp::FILTER_RESOURCE_REQUIREMENTS) => k.wdf_filter_requirements(handle, packet),
        (major::PNP, pnp::QUERY_PNP_DEVICE_STATE) => {
            let result = k.forward_and_wait(lower, packet);
            let failed = k.wdf_device(handle, |device| device.failed);
            let below = if status::ok(result) { k.read::<u64>(packet + irp::INFORMATION) } else { 0 };
            // PNP_DEVICE_FAILED is 4.
            k.finish_irp(packet, status::SUCCESS, below | if failed { 4 } else { 0 })
        }
        (major::POWER, power::SET_POWER) => k.wdf_set_power(handle, packet),
        (major::CREATE, _) => k.wdf_file_create(handle, packet),
        (major::CLEANUP, _) => k.wdf_file_cleanup(handle, packet),
        (major::CLOSE, _) => k.wdf_file_close(handle, packet),
        (major::DEVICE_CONTROL, _) => k.wdf_queue_request(handle, packet),
        (major::PNP | major::POWER | major::SYSTEM_CONTROL, _) => k.skip_and_call(lower, packet),
        _ => k.finish_irp(packet, status::INVALID_DEVICE_REQUEST, 0),
    }
}

exports! {
    module "Wdf01000.sys";

    /// The PnP and power callbacks of the device to be.
    fn WdfDeviceInitSetPnpPowerEventCallbacks(k; _globals: u64, init: u64, given: u64)
        [DISPATCH, "Learn, WdfDeviceInitSetPnpPowerEventCallbacks: <= DISPATCH_LEVEL"]
    {
        k.wdf_size(given, "WDF_PNPPOWER_EVENT_CALLBACKS", &CALLBACKS_SIZES);
        let [d0_entry, d0_entry_post_interrupts_enabled, d0_exit, d0_exit_pre_interrupts_disabled, prepare_hardware,
            release_hardware, io_cleanup, io_flush, io_init, io_suspend, io_restart, surprise_removal, query_remove,
            query_stop] = core::array::from_fn(|index| k.read::<u64>(given + 8 + 8 * u64::try_from(index).unwrap_or(0)));
        let callbacks = Callbacks {
            d0_entry, d0_entry_post_interrupts_enabled, d0_exit, d0_exit_pre_interrupts_disabled, prepare_hardware,
            release_hardware, io_cleanup, io_flush, io_init, io_suspend, io_restart, surprise_removal, query_remove,
            query_stop,
        };
        k.wdf_init(init, |init| init.callbacks = callbacks);
    }

    /// Security descriptor.
    fn WdfDeviceInitAssignSDDLString(k; _globals: u64, init: u64, text: u64) -> i32
        [PASSIVE, "Learn, WdfDeviceInitAssignSDDLString: PASSIVE_LEVEL"]
    {
        let text = k.unicode_string(text);
        if !text.starts_with("D:") && !text.starts_with("O:") && !text.starts_with("G:") {
            return status::INVALID_PARAMETER;
        }
        k.wdf_init(init, |init| init.sddl = Some(text));
        status::SUCCESS
    }

    /// Device name.
    fn WdfDeviceInitAssignName(k; _globals: u64, init: u64, name: u64) -> i32
        [PASSIVE, "Learn, WdfDeviceInitAssignName: PASSIVE_LEVEL"]
    {
        let name = k.unicode_string(name);
        k.wdf_init(init, |init| init.name = (!name.is_empty()).then_some(name));
        status::SUCCESS
    }

    /// Device characteristics.
    fn WdfDeviceInitSetCharacteristics(k; _globals: u64, init: u64, value: u32, add: u8)
        [DISPATCH, "Learn, WdfDeviceInitSetCharacteristics: <= DISPATCH_LEVEL"]
    {
        k.wdf_init(init, |init| init.characteristics = if add != 0 { init.characteristics | value } else { value });
    }

    /// Device type.
    fn WdfDeviceInitSetDeviceType(k; _globals: u64, init: u64, kind: u32)
        [DISPATCH, "Learn, WdfDeviceInitSetDeviceType: <= DISPATCH_LEVEL"]
    {
        k.wdf_init(init, |init| init.kind = kind);
    }

    /// One opener at a time.
    fn WdfDeviceInitSetExclusive(k; _globals: u64, init: u64, exclusive: u8)
        [DISPATCH, "Learn, WdfDeviceInitSetExclusive: <= DISPATCH_LEVEL"]
    {
        k.wdf_init(init, |init| init.exclusive = exclusive != 0);
    }

    /// How reads and writes find their buffers.
    fn WdfDeviceInitSetIoType(k; _globals: u64, init: u64, kind: u32)
        [DISPATCH, "Learn, WdfDeviceInitSetIoType: <= DISPATCH_LEVEL"]
    {
        k.wdf_init(init, |init| init.direct = Some(kind));
    }

    /// File callbacks.
    fn WdfDeviceInitSetFileObjectConfig(k; _globals: u64, init: u64, config: u64, attributes: u64)
        [DISPATCH, "Learn, WdfDeviceInitSetFileObjectConfig: <= DISPATCH_LEVEL"]
    {
        k.wdf_size(config, "WDF_FILEOBJECT_CONFIG", &[FILE_CONFIG_SIZE]);
        let attributes = match k.wdf_attributes(attributes, false) {
            Ok(attributes) => attributes,
            Err(error) => k.wdf_violation("WdfObjectAttributes", format!("attributes of file objects: {error:#x}")),
        };
        let class: u32 = k.read(config + 0x24);
        let file = FileConfig {
            create: k.read(config + 8),
            close: k.read(config + 0x10),
            cleanup: k.read(config + 0x18),
            wanted: class != FILE_NOT_REQUIRED,
            attributes,
        };
        k.wdf_init(init, |init| init.file = file);
    }

    /// The PDO of the device to be.
    fn WdfFdoInitWdmGetPhysicalDevice(k; _globals: u64, init: u64) -> u64
        [DISPATCH, "Learn, WdfFdoInitWdmGetPhysicalDevice: <= DISPATCH_LEVEL"]
    {
        k.kmdf.inits.with(|inits| inits.get(&init).map_or(0, |init| init.pdo))
    }

    /// A property of the device to be.
    fn WdfFdoInitQueryProperty(k; _globals: u64, init: u64, property: u32, room: u32, buffer: u64, needed: u64) -> i32
        [PASSIVE, "Learn, WdfFdoInitQueryProperty: PASSIVE_LEVEL"]
    {
        let pdo = k.kmdf.inits.with(|inits| inits.get(&init).map_or(0, |init| init.pdo));
        k.device_property(pdo, property, room, buffer, needed)
    }

    /// Makes the device.
    fn WdfDeviceCreate(k; _globals: u64, init: u64, attributes: u64, result: u64) -> i32
        [PASSIVE, "Learn, WdfDeviceCreate: PASSIVE_LEVEL"]
    {
        match k.wdf_device_create(k.read(init), attributes) {
            Ok(handle) => {
                k.write(init, 0_u64);
                k.write(result, handle);
                status::SUCCESS
            }
            Err(error) => error,
        }
    }

    /// Registers an interface; it is on while the device is started.
    fn WdfDeviceCreateDeviceInterface(k; _globals: u64, handle: u64, class: u64, reference: u64) -> i32
        [PASSIVE, "Learn, WdfDeviceCreateDeviceInterface: PASSIVE_LEVEL"]
    {
        k.wdf_create_interface(handle, guid(k, class), k.unicode_string(reference))
    }

    /// Links a name to the device.
    fn WdfDeviceCreateSymbolicLink(k; _globals: u64, handle: u64, link: u64) -> i32
        [PASSIVE, "Learn, WdfDeviceCreateSymbolicLink: PASSIVE_LEVEL"]
    {
        let link = k.unicode_string(link);
        let object = k.wdf_device(handle, |device| device.object);
        let result = k.create_link(&link, object);
        if status::ok(result) {
            k.wdf_device(handle, |device| device.links.push(link));
        }
        result
    }

    /// The PDO.
    fn WdfDeviceWdmGetPhysicalDevice(k; _globals: u64, handle: u64) -> u64
        [UpTo(crate::cpu::irql::DISPATCH), "Learn, WdfDeviceWdmGetPhysicalDevice: <= DISPATCH_LEVEL"]
    {
        k.wdf_device(handle, |device| device.pdo)
    }

    /// The device object.
    fn WdfDeviceWdmGetDeviceObject(k; _globals: u64, handle: u64) -> u64
        [DISPATCH, "Learn, WdfDeviceWdmGetDeviceObject: <= DISPATCH_LEVEL"]
    {
        k.wdf_device(handle, |device| device.object)
    }

    /// The device below.
    fn WdfDeviceWdmGetAttachedDevice(k; _globals: u64, handle: u64) -> u64
        [DISPATCH, "Learn, WdfDeviceWdmGetAttachedDevice: <= DISPATCH_LEVEL"]
    {
        k.wdf_device(handle, |device| device.lower)
    }

    /// The WDFDEVICE of a device object.
    fn WdfWdmDeviceGetWdfDeviceHandle(k; _globals: u64, object: u64) -> u64
        [DISPATCH, "Learn, WdfWdmDeviceGetWdfDeviceHandle: <= DISPATCH_LEVEL"]
    {
        k.wdf_device_of(object).unwrap_or(0)
    }

    /// The WDFDRIVER.
    fn WdfDeviceGetDriver(k; globals: u64, handle: u64) -> u64
        [DISPATCH, "Learn, WdfDeviceGetDriver: <= DISPATCH_LEVEL"]
    {
        k.wdf_device(handle, |_| ());
        k.wdf_driver(globals)
    }

    /// The queue that gets what no other queue gets.
    fn WdfDeviceGetDefaultQueue(k; _globals: u64, handle: u64) -> u64
        [DISPATCH, "Learn, WdfDeviceGetDefaultQueue: <= DISPATCH_LEVEL"]
    {
        k.wdf_device(handle, |device| device.default_queue)
    }

    /// The driver gives its device up: the PnP manager will ask for its state and end it.
    fn WdfDeviceSetFailed(k; _globals: u64, handle: u64, _action: u32)
        [DISPATCH, "Learn, WdfDeviceSetFailed: <= DISPATCH_LEVEL"]
    {
        let pdo = k.wdf_device(handle, |device| {
            device.failed = true;
            device.pdo
        });
        k.invalidate_device_state(pdo);
    }

    /// A property of the device.
    fn WdfDeviceQueryProperty(k; _globals: u64, handle: u64, property: u32, room: u32, buffer: u64, needed: u64) -> i32
        [PASSIVE, "Learn, WdfDeviceQueryProperty: PASSIVE_LEVEL"]
    {
        let pdo = k.wdf_device(handle, |device| device.pdo);
        k.device_property(pdo, property, room, buffer, needed)
    }

    /// Asks the stack below for an interface.
    fn WdfFdoQueryForInterface(k; _globals: u64, handle: u64, kind: u64, target: u64, size: u16, version: u16, specific: u64)
        -> i32 [PASSIVE, "Learn, WdfFdoQueryForInterface: PASSIVE_LEVEL"]
    {
        let lower = k.wdf_device(handle, |device| device.lower);
        let second = u64::from(size) | u64::from(version) << 16;
        k.send_irp(lower, major::PNP, pnp::QUERY_INTERFACE, [kind, second, target, specific]).0
    }
}
