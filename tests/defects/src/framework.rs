//! A KMDF function driver with one device: the part that is right in every one of them.

use core::ptr::null_mut;

use wdk_sys::{
    _WDF_EXECUTION_LEVEL, _WDF_FILEOBJECT_CLASS, _WDF_IO_QUEUE_DISPATCH_TYPE, _WDF_SYNCHRONIZATION_SCOPE,
    _WDF_TRI_STATE, BUS_INTERFACE_STANDARD, DRIVER_OBJECT, GUID, NTSTATUS, PFN_WDF_DRIVER_DEVICE_ADD,
    PFN_WDF_IO_QUEUE_IO_DEVICE_CONTROL, UNICODE_STRING, WDF_DRIVER_CONFIG, WDF_FILEOBJECT_CONFIG,
    WDF_INTERRUPT_CONFIG, WDF_IO_QUEUE_CONFIG, WDF_OBJECT_ATTRIBUTES, WDF_PNPPOWER_EVENT_CALLBACKS,
    WDFCMRESLIST, WDFDEVICE, WDFDEVICE_INIT, WDFDRIVER, WDFINTERRUPT, WDFOBJECT,
    call_unsafe_wdf_function_binding,
};

use crate::kernel::{MmMapIoSpaceEx, MmUnmapIoSpace};
use crate::memory::{Shared, store};
use crate::wdm::INTERFACE;

/// Makes a driver of an EvtDriverDeviceAdd.
#[macro_export]
macro_rules! framework_driver {
    ($device_add:ident) => {
        $crate::entry_point!(b" /ENTRY:FxDriverEntry");

        // SAFETY: the only function of this name in the image.
        #[unsafe(no_mangle)]
        extern "C" fn DriverEntry(
            driver: *mut $crate::DRIVER_OBJECT,
            registry_path: *mut $crate::UNICODE_STRING,
        ) -> $crate::NTSTATUS {
            $crate::framework::entry(driver, registry_path, Some($device_add))
        }
    };
}

/// DriverEntry.
pub fn entry(
    driver: *mut DRIVER_OBJECT,
    registry_path: *mut UNICODE_STRING,
    device_add: PFN_WDF_DRIVER_DEVICE_ADD,
) -> NTSTATUS {
    let mut config = WDF_DRIVER_CONFIG {
        Size: size_of::<WDF_DRIVER_CONFIG>() as u32,
        EvtDriverDeviceAdd: device_add,
        ..WDF_DRIVER_CONFIG::default()
    };
    // SAFETY: the arguments are DriverEntry's and locals.
    unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDriverCreate,
            driver,
            registry_path,
            null_mut(),
            &mut config,
            null_mut()
        )
    }
}

/// WDF_OBJECT_ATTRIBUTES_INIT.
#[must_use]
pub fn attributes() -> WDF_OBJECT_ATTRIBUTES {
    WDF_OBJECT_ATTRIBUTES {
        Size: size_of::<WDF_OBJECT_ATTRIBUTES>() as u32,
        ExecutionLevel: _WDF_EXECUTION_LEVEL::WdfExecutionLevelInheritFromParent,
        SynchronizationScope: _WDF_SYNCHRONIZATION_SCOPE::WdfSynchronizationScopeInheritFromParent,
        ..WDF_OBJECT_ATTRIBUTES::default()
    }
}

/// Makes the device of `init`, which is gone afterwards.
///
/// # Errors
/// What the framework says.
pub fn create_device(mut init: *mut WDFDEVICE_INIT) -> Result<WDFDEVICE, NTSTATUS> {
    let mut device = null_mut();
    // SAFETY: the framework's structure and locals.
    let status =
        unsafe { call_unsafe_wdf_function_binding!(WdfDeviceCreate, &mut init, null_mut(), &mut device) };
    if status < 0 { Err(status) } else { Ok(device) }
}

/// Gives the device its interface and a sequential queue that calls `control`.
pub fn create_queue(device: WDFDEVICE, control: PFN_WDF_IO_QUEUE_IO_DEVICE_CONTROL) -> NTSTATUS {
    let mut config = WDF_IO_QUEUE_CONFIG {
        Size: size_of::<WDF_IO_QUEUE_CONFIG>() as u32,
        DispatchType: _WDF_IO_QUEUE_DISPATCH_TYPE::WdfIoQueueDispatchSequential,
        PowerManaged: _WDF_TRI_STATE::WdfUseDefault,
        DefaultQueue: 1,
        EvtIoDeviceControl: control,
        ..WDF_IO_QUEUE_CONFIG::default()
    };
    // SAFETY: a handle of the framework and locals.
    let status = unsafe {
        call_unsafe_wdf_function_binding!(WdfIoQueueCreate, device, &mut config, null_mut(), null_mut())
    };
    if status < 0 {
        return status;
    }
    // SAFETY: a handle of the framework and a static.
    unsafe {
        call_unsafe_wdf_function_binding!(WdfDeviceCreateDeviceInterface, device, &INTERFACE, null_mut())
    }
}

/// Completes a request.
pub fn complete(request: wdk_sys::WDFREQUEST, status: NTSTATUS) {
    // SAFETY: none: whether it is the driver's to complete is what the machine is asked.
    unsafe { call_unsafe_wdf_function_binding!(WdfRequestComplete, request, status) }
}

static INTERRUPT: Shared<WDFINTERRUPT> = Shared::new();
static REGISTERS: Shared<*mut u32> = Shared::new();
const PAGE: usize = 0x1000;

/// An interrupt of the device.
pub fn use_interrupt(device: WDFDEVICE, isr: extern "C" fn(WDFINTERRUPT, u32) -> u8) -> NTSTATUS {
    let mut config = WDF_INTERRUPT_CONFIG {
        Size: size_of::<WDF_INTERRUPT_CONFIG>() as u32,
        ShareVector: _WDF_TRI_STATE::WdfUseDefault,
        EvtInterruptIsr: Some(isr),
        ReportInactiveOnPowerDown: _WDF_TRI_STATE::WdfUseDefault,
        ..WDF_INTERRUPT_CONFIG::default()
    };
    // SAFETY: a handle of the framework and locals.
    unsafe {
        call_unsafe_wdf_function_binding!(WdfInterruptCreate, device, &mut config, null_mut(), INTERRUPT.at())
    }
}

/// Takes its lock and releases it.
pub fn take_interrupt_lock() {
    // SAFETY: none; whether it has a lock is what the machine is asked.
    unsafe { call_unsafe_wdf_function_binding!(WdfInterruptAcquireLock, INTERRUPT.get()) };
    // SAFETY: as above.
    unsafe { call_unsafe_wdf_function_binding!(WdfInterruptReleaseLock, INTERRUPT.get()) };
}

/// Has the device's registers mapped while it has resources, and its doorbell rung when its interrupt is connected.
pub fn use_registers(init: *mut WDFDEVICE_INIT) {
    set_callbacks(init, &mut callbacks());
}

/// The callbacks of [`use_registers`].
#[must_use]
pub fn callbacks() -> WDF_PNPPOWER_EVENT_CALLBACKS {
    WDF_PNPPOWER_EVENT_CALLBACKS {
        Size: size_of::<WDF_PNPPOWER_EVENT_CALLBACKS>() as u32,
        EvtDevicePrepareHardware: Some(prepare),
        EvtDeviceReleaseHardware: Some(release),
        EvtDeviceD0EntryPostInterruptsEnabled: Some(ring),
        ..WDF_PNPPOWER_EVENT_CALLBACKS::default()
    }
}

/// WdfDeviceInitSetPnpPowerEventCallbacks.
pub fn set_callbacks(init: *mut WDFDEVICE_INIT, callbacks: &mut WDF_PNPPOWER_EVENT_CALLBACKS) {
    // SAFETY: the framework's structure and the caller's.
    unsafe { call_unsafe_wdf_function_binding!(WdfDeviceInitSetPnpPowerEventCallbacks, init, callbacks) };
}

unsafe extern "C" fn prepare(_device: WDFDEVICE, _raw: WDFCMRESLIST, translated: WDFCMRESLIST) -> NTSTATUS {
    // SAFETY: the list that the framework lent; the first entry of this device is its BAR.
    let entry = unsafe { call_unsafe_wdf_function_binding!(WdfCmResourceListGetDescriptor, translated, 0) };
    // SAFETY: a valid descriptor of packed members.
    let memory = unsafe { (*entry).u.Memory };
    // SAFETY: every member of the union is the same 64 bits.
    let start = unsafe { memory.Start.QuadPart };
    REGISTERS.set(MmMapIoSpaceEx(start, PAGE, 0x204).cast());
    0
}

unsafe extern "C" fn release(_device: WDFDEVICE, _translated: WDFCMRESLIST) -> NTSTATUS {
    MmUnmapIoSpace(REGISTERS.get().cast(), PAGE);
    0
}

unsafe extern "C" fn ring(_device: WDFDEVICE, _previous: i32) -> NTSTATUS {
    store(REGISTERS.get(), 0, 0);
    0
}

/// Releases the device's line.
pub fn acknowledge() {
    store(REGISTERS.get(), 1, 1);
}

extern "C" fn cancelled(request: wdk_sys::WDFREQUEST) {
    complete(request, wdk_sys::STATUS_CANCELLED);
}

/// Makes a request cancelable; nobody cancels it.
pub fn mark_cancelable(request: wdk_sys::WDFREQUEST) {
    // SAFETY: the driver's request.
    let _ =
        unsafe { call_unsafe_wdf_function_binding!(WdfRequestMarkCancelableEx, request, Some(cancelled)) };
}

/// Takes that back.
pub fn unmark_cancelable(request: wdk_sys::WDFREQUEST) {
    // SAFETY: the driver's request.
    let _ = unsafe { call_unsafe_wdf_function_binding!(WdfRequestUnmarkCancelable, request) };
}

/// An object of no particular kind.
#[must_use]
pub fn create_object(parent: WDFOBJECT) -> WDFOBJECT {
    let mut attributes = attributes();
    attributes.ParentObject = parent;
    let mut object = null_mut();
    // SAFETY: locals.
    let _ = unsafe { call_unsafe_wdf_function_binding!(WdfObjectCreate, &mut attributes, &mut object) };
    object
}

/// WdfObjectDelete.
pub fn delete(object: WDFOBJECT) {
    // SAFETY: none; what becomes of a wrong handle is what the machine is asked.
    unsafe { call_unsafe_wdf_function_binding!(WdfObjectDelete, object) };
}

/// WdfObjectReference.
pub fn reference(object: WDFOBJECT) {
    // SAFETY: none, as above.
    unsafe { call_unsafe_wdf_function_binding!(WdfObjectReferenceActual, object, null_mut(), 0, null_mut()) };
}

/// WdfObjectDereference.
pub fn dereference(object: WDFOBJECT) {
    // SAFETY: none, as above.
    unsafe {
        call_unsafe_wdf_function_binding!(WdfObjectDereferenceActual, object, null_mut(), 0, null_mut())
    };
}

/// WdfDeviceInitSetDeviceType.
pub fn set_device_type(init: *mut WDFDEVICE_INIT) {
    // SAFETY: none, as above.
    unsafe {
        call_unsafe_wdf_function_binding!(WdfDeviceInitSetDeviceType, init, wdk_sys::FILE_DEVICE_UNKNOWN)
    };
}

/// WdfDeviceInitSetFileObjectConfig without callbacks.
pub fn set_file_objects(init: *mut WDFDEVICE_INIT, attributes: &mut WDF_OBJECT_ATTRIBUTES) {
    let mut config = WDF_FILEOBJECT_CONFIG {
        Size: size_of::<WDF_FILEOBJECT_CONFIG>() as u32,
        AutoForwardCleanupClose: _WDF_TRI_STATE::WdfUseDefault,
        FileObjectClass: _WDF_FILEOBJECT_CLASS::WdfFileObjectWdfCannotUseFsContexts,
        ..WDF_FILEOBJECT_CONFIG::default()
    };
    // SAFETY: the framework's structure, a local, and the caller's.
    unsafe {
        call_unsafe_wdf_function_binding!(WdfDeviceInitSetFileObjectConfig, init, &mut config, attributes)
    };
}

/// The bus interface of the device, with a reference.
#[must_use]
pub fn bus_interface(device: WDFDEVICE) -> BUS_INTERFACE_STANDARD {
    const GUID_BUS_INTERFACE_STANDARD: GUID = GUID {
        Data1: 0x496B_8280,
        Data2: 0x6F25,
        Data3: 0x11D0,
        Data4: [0xBE, 0xAF, 0x08, 0x00, 0x2B, 0xE2, 0x09, 0x2F],
    };
    let mut interface = BUS_INTERFACE_STANDARD::default();
    let size = size_of::<BUS_INTERFACE_STANDARD>() as u16;
    let place: *mut BUS_INTERFACE_STANDARD = &mut interface;
    // SAFETY: a handle of the framework and locals.
    let _ = unsafe {
        call_unsafe_wdf_function_binding!(
            WdfFdoQueryForInterface,
            device,
            &GUID_BUS_INTERFACE_STANDARD,
            place.cast(),
            size,
            1,
            null_mut()
        )
    };
    interface
}

/// Gives a reference to it back.
pub fn dereference_interface(interface: &BUS_INTERFACE_STANDARD) {
    if let Some(dereference) = interface.InterfaceDereference {
        // SAFETY: none, as above.
        unsafe { dereference(interface.Context) };
    }
}

/// The driver object below a framework driver.
#[must_use]
pub fn driver_object(driver: WDFDRIVER) -> *mut DRIVER_OBJECT {
    // SAFETY: a handle of the framework.
    unsafe { call_unsafe_wdf_function_binding!(WdfDriverWdmGetDriverObject, driver) }
}
