//! A WDM function driver with one device: the part that is right in every one of them.

use core::ffi::c_void;
use core::ptr::null_mut;

use wdk_sys::{
    CM_PARTIAL_RESOURCE_DESCRIPTOR, CM_RESOURCE_LIST, DEVICE_OBJECT, DRIVER_OBJECT, GUID, IRP, KEVENT,
    NTSTATUS, STATUS_MORE_PROCESSING_REQUIRED, STATUS_PENDING, STATUS_SUCCESS, UNICODE_STRING,
};

use crate::kernel::{
    ExFreePool, IoAttachDeviceToDeviceStack, IoConnectInterruptEx, IoCreateDevice, IoDeleteDevice,
    IoDetachDevice, IoDisconnectInterruptEx, IoRegisterDeviceInterface, IoSetDeviceInterfaceState,
    IofCallDriver, IofCompleteRequest, KeInitializeEvent, wait,
};
use crate::memory::{Shared, load, store};

/// What a driver does beyond the ordinary, and where it goes wrong. Every step has the right default.
pub trait Function {
    /// AddDevice has put the device on its stack.
    fn added(_device: &Device) {}

    /// The device is started (IRP_MN_START_DEVICE has come back from below).
    fn start(_device: &Device, _start: &StackLocation) {}

    /// A device control request. Gives what dispatch returns.
    fn control(_device: &Device, irp: *mut IRP) -> NTSTATUS {
        complete(irp, STATUS_SUCCESS)
    }

    /// The device is about to be stopped or removed: the undoing of `start`.
    fn stop(_device: &Device) {}

    /// IRP_MN_REMOVE_DEVICE has been passed down: the undoing of `added`.
    fn remove(device: &Device) {
        device.leave();
    }
}

/// Makes a driver of a type that is a [`Function`].
#[macro_export]
macro_rules! function_driver {
    ($function:ty) => {
        $crate::entry_point!(b" /ENTRY:DriverEntry");

        // SAFETY: the only function of this name in the image.
        #[unsafe(no_mangle)]
        extern "C" fn DriverEntry(
            driver: *mut $crate::DRIVER_OBJECT,
            _registry_path: *mut $crate::UNICODE_STRING,
        ) -> $crate::NTSTATUS {
            $crate::wdm::entry::<$function>(driver)
        }
    };
}

/// The interface that a program opens the device by; `tests/nthost/tests/defects` knows it too.
pub const INTERFACE: GUID = GUID {
    Data1: 0x5D9C_7B10,
    Data2: 0x3E41,
    Data3: 0x4A6F,
    Data4: [0x91, 0x2C, 0x6B, 0x0E, 0x8D, 0x57, 0xF4, 0x23],
};

/// The device and its place in the stack.
#[derive(Debug, Clone, Copy)]
pub struct Device {
    /// Ours.
    pub own: *mut DEVICE_OBJECT,
    /// The bus driver's.
    pub pdo: *mut DEVICE_OBJECT,
    /// Where packets go.
    pub lower: *mut DEVICE_OBJECT,
    /// The name of the interface.
    pub link: *mut UNICODE_STRING,
}

/// IO_STACK_LOCATION (wdm.h).
#[repr(C)]
#[derive(Debug)]
pub struct StackLocation {
    /// IRP_MJ_….
    pub major: u8,
    /// IRP_MN_….
    pub minor: u8,
    flags: u8,
    control: u8,
    /// By function; resource lists of a start: raw, translated.
    pub parameters: [*mut c_void; 4],
    device: *mut DEVICE_OBJECT,
    file: *mut c_void,
    completion: Option<extern "C" fn(*mut DEVICE_OBJECT, *mut IRP, *mut c_void) -> NTSTATUS>,
    context: *mut c_void,
}

const _: () = assert!(size_of::<StackLocation>() == 0x48);

static DEVICE: Shared<Device> = Shared::new();
static LINK: Shared<UNICODE_STRING> = Shared::new();

/// DriverEntry.
pub fn entry<F: Function>(driver: *mut DRIVER_OBJECT) -> NTSTATUS {
    // SAFETY: the system's driver object, for the driver to fill while it starts.
    let object = unsafe { &mut *driver };
    object.DriverUnload = Some(unload);
    object.MajorFunction = [Some(dispatch::<F>); 28];
    // AddDevice is the second member of DRIVER_EXTENSION, which the bindings hide.
    let routine: extern "C" fn(_, _) -> _ = add_device::<F>;
    store(object.DriverExtension.cast(), 1, routine);
    STATUS_SUCCESS
}

extern "C" fn unload(_driver: *mut DRIVER_OBJECT) {}

extern "C" fn add_device<F: Function>(driver: *mut DRIVER_OBJECT, pdo: *mut DEVICE_OBJECT) -> NTSTATUS {
    let mut own = null_mut();
    let status = IoCreateDevice(driver, 0, null_mut(), wdk_sys::FILE_DEVICE_UNKNOWN, 0, 0, &mut own);
    if status < 0 {
        return status;
    }
    let lower = IoAttachDeviceToDeviceStack(own, pdo);
    IoRegisterDeviceInterface(pdo, &INTERFACE, null_mut(), LINK.at());
    DEVICE.set(Device { own, pdo, lower, link: LINK.at() });
    F::added(&DEVICE.get());
    // SAFETY: our own device object. DO_DEVICE_INITIALIZING is cleared when it is ready (Learn, AddDevice).
    unsafe { (*own).Flags &= !0x80 };
    STATUS_SUCCESS
}

extern "C" fn dispatch<F: Function>(_device: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    const DEVICE_CONTROL: u8 = 0x0E;
    const POWER: u8 = 0x16;
    const SYSTEM_CONTROL: u8 = 0x17;
    const PNP: u8 = 0x1B;
    let device = &DEVICE.get();
    let location = current(irp);
    match (location.major, location.minor) {
        (PNP, 0x00) => {
            let status = device.send_and_wait(irp);
            if status >= 0 {
                F::start(device, location);
                IoSetDeviceInterfaceState(device.link, 1);
            }
            complete(irp, status)
        }
        (PNP, 0x04) => {
            F::stop(device);
            device.send(irp)
        }
        (PNP, 0x02) => {
            F::stop(device);
            // SAFETY: a driver that handles this request sets its status before passing it on.
            unsafe { (*irp).IoStatus.__bindgen_anon_1.Status = STATUS_SUCCESS };
            let status = device.send(irp);
            F::remove(device);
            ExFreePool(LINK.get().Buffer.cast());
            status
        }
        // Queries that the bus driver would fail for want of a driver that says yes: to remove, to stop, and back.
        (PNP, 0x01 | 0x03 | 0x05 | 0x06) => {
            // SAFETY: as above.
            unsafe { (*irp).IoStatus.__bindgen_anon_1.Status = STATUS_SUCCESS };
            device.send(irp)
        }
        (PNP | POWER | SYSTEM_CONTROL, _) => device.send(irp),
        (DEVICE_CONTROL, _) => F::control(device, irp),
        _ => complete(irp, STATUS_SUCCESS),
    }
}

impl Device {
    /// Passes a packet on and is out of it.
    pub fn send(&self, irp: *mut IRP) -> NTSTATUS {
        // SAFETY: the packet is the driver's until it is sent. IoSkipCurrentIrpStackLocation, inline in wdm.h.
        unsafe { (*irp).CurrentLocation += 1 };
        let location: *mut StackLocation = current(irp);
        store(stack_pointer(irp), 0, location.wrapping_add(1));
        IofCallDriver(self.lower, irp)
    }

    /// Passes a packet on and waits until it is back.
    fn send_and_wait(&self, irp: *mut IRP) -> NTSTATUS {
        extern "C" fn back(_device: *mut DEVICE_OBJECT, _irp: *mut IRP, event: *mut c_void) -> NTSTATUS {
            crate::kernel::KeSetEvent(event.cast(), 0, 0);
            STATUS_MORE_PROCESSING_REQUIRED
        }
        let event = Shared::<KEVENT>::new();
        KeInitializeEvent(event.at(), 0, 0);
        // IoSetCompletionRoutine for every outcome, inline in wdm.h.
        let next = copy_to_next(irp);
        next.control = 0xE0;
        next.completion = Some(back);
        next.context = event.at().cast();
        let status = IofCallDriver(self.lower, irp);
        if status != STATUS_PENDING {
            return status;
        }
        wait(event.at());
        // SAFETY: the packet is back.
        unsafe { (*irp).IoStatus.__bindgen_anon_1.Status }
    }

    /// Switches the interface off, leaves the stack and deletes the device.
    pub fn leave(&self) {
        self.switch_off();
        IoDetachDevice(self.lower);
        IoDeleteDevice(self.own);
    }

    /// Switches the interface off.
    pub fn switch_off(&self) {
        IoSetDeviceInterfaceState(self.link, 0);
    }
}

/// Completes a packet.
pub fn complete(irp: *mut IRP, status: NTSTATUS) -> NTSTATUS {
    // SAFETY: the packet is the driver's until it is completed.
    unsafe { (*irp).IoStatus.__bindgen_anon_1.Status = status };
    IofCompleteRequest(irp, 0);
    status
}

/// Where a packet keeps the pointer to its current location: the ninth word of its tail (wdm.h).
fn stack_pointer(irp: *mut IRP) -> *mut *mut StackLocation {
    // SAFETY: the packet is the driver's.
    let tail = unsafe { &raw mut (*irp).Tail };
    tail.cast::<*mut StackLocation>().wrapping_add(8)
}

/// Whether there is a location below the current one.
#[must_use]
pub fn has_next(irp: *mut IRP) -> bool {
    // SAFETY: the packet is the driver's.
    unsafe { (*irp).CurrentLocation > 1 }
}

/// IoCopyCurrentIrpStackLocationToNext, inline in wdm.h.
pub fn copy_to_next<'a>(irp: *mut IRP) -> &'a mut StackLocation {
    let here: *mut StackLocation = current(irp);
    // SAFETY: the packet is the driver's; a packet that reaches a driver with another one below has a next location.
    let (here, next) = unsafe { (&*here, &mut *here.wrapping_sub(1)) };
    (next.major, next.minor, next.parameters) = (here.major, here.minor, here.parameters);
    (next.control, next.completion, next.file) = (0, None, here.file);
    next
}

/// IoGetCurrentIrpStackLocation, inline in wdm.h.
fn current<'a>(irp: *mut IRP) -> &'a mut StackLocation {
    let location = load(stack_pointer(irp), 0);
    // SAFETY: it lies in the packet, which is the driver's.
    unsafe { &mut *location }
}

/// The first entry of a kind (CmResourceType…) in the translated resource list of a start.
///
/// The device of these drivers has one of each: without one the driver stops right here.
#[must_use]
pub fn resource(start: &StackLocation, kind: u32) -> CM_PARTIAL_RESOURCE_DESCRIPTOR {
    let list: *mut CM_RESOURCE_LIST = start.parameters[1].cast();
    // SAFETY: the PnP manager's list, valid during the start.
    let entries = unsafe { &raw const (*list).List[0].PartialResourceList.PartialDescriptors };
    let entries: *const CM_PARTIAL_RESOURCE_DESCRIPTOR = entries.cast();
    let mut index = 0;
    loop {
        // Packed to four bytes: not read as the aligned type it is not.
        // SAFETY: as above; the list has an entry of that kind.
        let entry = unsafe { entries.add(index).read_unaligned() };
        if u32::from(entry.Type) == kind {
            return entry;
        }
        index += 1;
    }
}

/// Physical address and length of the device's registers.
#[must_use]
pub fn registers(start: &StackLocation) -> (i64, usize) {
    let entry = resource(start, wdk_sys::CmResourceTypeMemory);
    // SAFETY: the type says that this is the member that was written.
    let memory = unsafe { entry.u.Memory };
    // SAFETY: every member of the union is the same 64 bits.
    (unsafe { memory.Start.QuadPart }, memory.Length as usize)
}

/// IO_CONNECT_INTERRUPT_PARAMETERS, fully specified (wdm.h); of what disconnects only the second member counts.
#[repr(C)]
struct ConnectParameters {
    version: u32,
    physical_device: *mut DEVICE_OBJECT,
    interrupt: *mut *mut c_void,
    routine: extern "C" fn(*mut c_void, *mut c_void) -> u8,
    context: *mut c_void,
    spin_lock: *mut u64,
    synchronize_irql: u8,
    floating_save: u8,
    share_vector: u8,
    vector: u32,
    irql: u8,
    mode: i32,
    processors: u64,
    group: u16,
}

#[repr(C)]
struct DisconnectParameters {
    version: u32,
    interrupt: *mut c_void,
}

/// Connects a service routine to the device's interrupt.
#[must_use]
pub fn connect(
    device: &Device,
    start: &StackLocation,
    routine: extern "C" fn(*mut c_void, *mut c_void) -> u8,
) -> *mut c_void {
    let entry = resource(start, wdk_sys::CmResourceTypeInterrupt);
    // SAFETY: a translated interrupt, line or message, has this form.
    let given = unsafe { entry.u.Interrupt };
    let mut interrupt = null_mut();
    let mut parameters = ConnectParameters {
        version: 1,
        physical_device: device.pdo,
        interrupt: &mut interrupt,
        routine,
        context: null_mut(),
        spin_lock: null_mut(),
        synchronize_irql: given.Level as u8,
        floating_save: 0,
        share_vector: 0,
        vector: given.Vector,
        irql: given.Level as u8,
        mode: 1,
        processors: given.Affinity,
        group: 0,
    };
    IoConnectInterruptEx((&raw mut parameters).cast());
    interrupt
}

/// Disconnects it.
pub fn disconnect(interrupt: *mut c_void) {
    let mut parameters = DisconnectParameters { version: 1, interrupt };
    IoDisconnectInterruptEx((&raw mut parameters).cast());
}
