//! Devices: creation, Plug and Play, power.

use core::marker::PhantomData;
use core::ptr;

use wdk_sys::{
    _WDF_POWER_DEVICE_STATE, BUS_INTERFACE_STANDARD, DEVICE_REGISTRY_PROPERTY, GUID, NTSTATUS,
    PWDFDEVICE_INIT, ULONG, USHORT, WDF_PNPPOWER_EVENT_CALLBACKS, WDF_POWER_DEVICE_STATE, WDFCMRESLIST,
    WDFDEVICE, WDFDEVICE_INIT, WDFOBJECT, call_unsafe_wdf_function_binding,
};

use super::context::{self, Context};
use super::resources::Resources;
use crate::irql::Passive;
use crate::object;
use crate::pci;
use crate::string::Wide;
use crate::{Result, Status};

/// A device's life, as the framework tells it. Every method is called at PASSIVE_LEVEL; those of one device are called
/// one after the other, except [`surprise_removal`](Self::surprise_removal), which may overlap with any.
///
/// What is not overridden does nothing.
pub trait Device: Context {
    /// The device's resources are known (EvtDevicePrepareHardware). `raw` is how the bus sees them, `translated` how the
    /// processor does.
    ///
    /// # Errors
    /// The device does not start; [`release_hardware`](Self::release_hardware) is still called.
    fn prepare_hardware(
        &self,
        device: DeviceHandle<'_, Self>,
        raw: Resources<'_>,
        translated: Resources<'_>,
        irql: &mut Passive,
    ) -> Result {
        let _unused = (device, raw, translated, irql);
        Ok(())
    }

    /// The device loses its resources (EvtDeviceReleaseHardware).
    fn release_hardware(&self, device: DeviceHandle<'_, Self>, irql: &mut Passive) {
        let _unused = (device, irql);
    }

    /// The device is in D0; its interrupts are not yet connected (EvtDeviceD0Entry).
    ///
    /// # Errors
    /// The device fails.
    fn d0_entry(&self, device: DeviceHandle<'_, Self>, previous: PowerState, irql: &mut Passive) -> Result {
        let _unused = (device, previous, irql);
        Ok(())
    }

    /// The device is in D0 and its interrupts work (EvtDeviceD0EntryPostInterruptsEnabled).
    ///
    /// # Errors
    /// The device fails.
    fn d0_entry_post_interrupts_enabled(
        &self,
        device: DeviceHandle<'_, Self>,
        previous: PowerState,
        irql: &mut Passive,
    ) -> Result {
        let _unused = (device, previous, irql);
        Ok(())
    }

    /// The device is about to leave D0; its interrupts still work (EvtDeviceD0ExitPreInterruptsDisabled).
    ///
    /// # Errors
    /// The device fails, but leaves D0 all the same.
    fn d0_exit_pre_interrupts_disabled(
        &self,
        device: DeviceHandle<'_, Self>,
        target: PowerState,
        irql: &mut Passive,
    ) -> Result {
        let _unused = (device, target, irql);
        Ok(())
    }

    /// The device is about to leave D0; its interrupts are disconnected (EvtDeviceD0Exit).
    ///
    /// # Errors
    /// The device fails, but leaves D0 all the same.
    fn d0_exit(&self, device: DeviceHandle<'_, Self>, target: PowerState, irql: &mut Passive) -> Result {
        let _unused = (device, target, irql);
        Ok(())
    }

    /// The device went without being asked (EvtDeviceSurpriseRemoval). Not ordered against the other callbacks.
    fn surprise_removal(&self, device: DeviceHandle<'_, Self>, irql: &mut Passive) {
        let _unused = (device, irql);
    }

    /// The device object is being deleted (EvtCleanupCallback): the last callback, also when the device never started.
    fn cleanup(&self, irql: &mut Passive) {
        let _unused = irql;
    }
}

/// Device power states, as the framework's callbacks name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum PowerState {
    /// On.
    D0 = _WDF_POWER_DEVICE_STATE::WdfPowerDeviceD0,
    /// Light sleep.
    D1 = _WDF_POWER_DEVICE_STATE::WdfPowerDeviceD1,
    /// Deeper sleep.
    D2 = _WDF_POWER_DEVICE_STATE::WdfPowerDeviceD2,
    /// Off, to come back.
    D3 = _WDF_POWER_DEVICE_STATE::WdfPowerDeviceD3,
    /// Off for good: the device is being stopped or removed.
    D3Final = _WDF_POWER_DEVICE_STATE::WdfPowerDeviceD3Final,
    /// Off, while the hibernation file is written by this device's path.
    Hibernation = _WDF_POWER_DEVICE_STATE::WdfPowerDevicePrepareForHibernation,
    /// Not yet any.
    Unknown = _WDF_POWER_DEVICE_STATE::WdfPowerDeviceInvalid,
}

impl PowerState {
    const fn from_raw(raw: WDF_POWER_DEVICE_STATE) -> Self {
        match raw {
            _WDF_POWER_DEVICE_STATE::WdfPowerDeviceD0 => Self::D0,
            _WDF_POWER_DEVICE_STATE::WdfPowerDeviceD1 => Self::D1,
            _WDF_POWER_DEVICE_STATE::WdfPowerDeviceD2 => Self::D2,
            _WDF_POWER_DEVICE_STATE::WdfPowerDeviceD3 => Self::D3,
            _WDF_POWER_DEVICE_STATE::WdfPowerDeviceD3Final => Self::D3Final,
            _WDF_POWER_DEVICE_STATE::WdfPowerDevicePrepareForHibernation => Self::Hibernation,
            _ => Self::Unknown,
        }
    }
}

/// A device that is about to be created.
#[derive(Debug)]
pub struct DeviceInit<'a> {
    init: PWDFDEVICE_INIT,
    lent: PhantomData<&'a mut WDFDEVICE_INIT>,
}

impl<'a> DeviceInit<'a> {
    /// # Safety
    /// `init` is what the framework lent to EvtDriverDeviceAdd, for `'a`.
    pub(super) const unsafe fn new(init: *mut WDFDEVICE_INIT) -> Self {
        Self { init, lent: PhantomData }
    }

    /// The framework's structure.
    pub(super) const fn as_raw(&self) -> PWDFDEVICE_INIT {
        self.init
    }

    /// Who may open the device: a security descriptor in SDDL (WdfDeviceInitAssignSDDLString).
    ///
    /// # Errors
    /// INVALID_PARAMETER when the string is none.
    pub fn assign_sddl(&mut self, sddl: Wide<'_>, _irql: &Passive) -> Result {
        // SAFETY: the structure is lent for the callback, the string is alive, and the framework copies it.
        Status::check(unsafe {
            call_unsafe_wdf_function_binding!(WdfDeviceInitAssignSDDLString, self.init, sddl.as_ptr())
        })
    }

    /// Adds device characteristics, FILE_DEVICE_SECURE_OPEN for instance.
    pub fn add_characteristics(&mut self, characteristics: ULONG) {
        // SAFETY: the structure is lent for the callback.
        unsafe {
            call_unsafe_wdf_function_binding!(WdfDeviceInitSetCharacteristics, self.init, characteristics, 1)
        };
    }

    /// The type that user mode sees, FILE_DEVICE_UNKNOWN for instance.
    pub fn set_device_type(&mut self, device_type: ULONG) {
        // SAFETY: the structure is lent for the callback.
        unsafe { call_unsafe_wdf_function_binding!(WdfDeviceInitSetDeviceType, self.init, device_type) };
    }

    /// Creates the device and puts into its context what `make` makes of it.
    ///
    /// # Errors
    /// What the framework or `make` reports. The framework deletes the device when EvtDriverDeviceAdd then fails.
    pub fn create<D: Device>(
        self,
        irql: &mut Passive,
        make: impl FnOnce(DeviceHandle<'a, D>, &mut Passive) -> Result<D>,
    ) -> Result<DeviceHandle<'a, D>> {
        let mut callbacks = WDF_PNPPOWER_EVENT_CALLBACKS {
            Size: size_of::<WDF_PNPPOWER_EVENT_CALLBACKS>() as ULONG,
            EvtDevicePrepareHardware: Some(prepare_hardware::<D>),
            EvtDeviceReleaseHardware: Some(release_hardware::<D>),
            EvtDeviceD0Entry: Some(d0_entry::<D>),
            EvtDeviceD0EntryPostInterruptsEnabled: Some(d0_entry_post_interrupts_enabled::<D>),
            EvtDeviceD0ExitPreInterruptsDisabled: Some(d0_exit_pre_interrupts_disabled::<D>),
            EvtDeviceD0Exit: Some(d0_exit::<D>),
            EvtDeviceSurpriseRemoval: Some(surprise_removal::<D>),
            ..WDF_PNPPOWER_EVENT_CALLBACKS::default()
        };
        // SAFETY: the structure is lent for the callback; the framework copies the callbacks.
        unsafe {
            call_unsafe_wdf_function_binding!(
                WdfDeviceInitSetPnpPowerEventCallbacks,
                self.init,
                &mut callbacks
            )
        };
        let mut init = self.init;
        let mut attributes = context::attributes::<D>(Some(cleanup::<D>));
        let mut handle: WDFDEVICE = ptr::null_mut();
        // SAFETY: the structure is lent for the callback and given up here; the others are locals.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(WdfDeviceCreate, &mut init, &mut attributes, &mut handle)
        };
        Status::check(status)?;
        // SAFETY: the framework has just given the handle; the device lives at least until EvtDriverDeviceAdd returns.
        let device = unsafe { DeviceHandle::new(handle) };
        // SAFETY: as above.
        let slot = unsafe { context::slot::<D>(handle.cast()) }?;
        let value = make(device, irql)?;
        // SAFETY: the first and only filling; no callback of the device is called before EvtDriverDeviceAdd returns.
        unsafe { slot.fill(value) };
        Ok(device)
    }
}

/// A framework device, for as long as the callback that was given it runs.
#[derive(Debug)]
pub struct DeviceHandle<'a, D> {
    handle: WDFDEVICE,
    lives: PhantomData<&'a D>,
}

impl<D> Clone for DeviceHandle<'_, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D> Copy for DeviceHandle<'_, D> {}

impl<'a, D: Device> DeviceHandle<'a, D> {
    /// # Safety
    /// `handle` is a device with a context of type `D` that is not deleted during `'a`.
    pub(super) const unsafe fn new(handle: WDFDEVICE) -> Self {
        Self { handle, lives: PhantomData }
    }

    /// The framework's handle.
    #[must_use]
    pub const fn as_raw(self) -> WDFDEVICE {
        self.handle
    }

    /// The device's value.
    ///
    /// # Errors
    /// INVALID_HANDLE while the device is being created.
    pub fn value(self) -> Result<&'a D> {
        // SAFETY: the device is not deleted during `'a`.
        unsafe { context::value(self.handle.cast()) }
    }

    /// The physical device object, by which the system knows the device.
    ///
    /// # Errors
    /// NO_SUCH_DEVICE for a device without one, which only control devices are.
    pub fn physical_device(self) -> Result<object::Device> {
        // SAFETY: the device is not deleted during `'a`.
        let pdo = unsafe { call_unsafe_wdf_function_binding!(WdfDeviceWdmGetPhysicalDevice, self.handle) };
        // SAFETY: the framework's device keeps its physical device object alive.
        unsafe { object::Device::new(pdo) }.ok_or(Status::NO_SUCH_DEVICE)
    }

    /// Where on the PCI bus the function is, as bus << 8 | device << 3 | function.
    ///
    /// # Errors
    /// What the framework reports; the device may be on another bus.
    pub fn pci_location(self, irql: &Passive) -> Result<u32> {
        let bus = self.number(DEVICE_REGISTRY_PROPERTY::DevicePropertyBusNumber, irql)?;
        // For PCI: the device's number in the high, the function's in the low 16 bits (Learn, DEVICE_REGISTRY_PROPERTY).
        let address = self.number(DEVICE_REGISTRY_PROPERTY::DevicePropertyAddress, irql)?;
        Ok((bus & 0xFF) << 8 | (address >> 16 & 0x1F) << 3 | (address & 0x7))
    }

    /// A property that is a 32-bit number (WdfDeviceQueryProperty).
    fn number(self, property: DEVICE_REGISTRY_PROPERTY::Type, _irql: &Passive) -> Result<u32> {
        let mut value: ULONG = 0;
        let mut length: ULONG = 0;
        // SAFETY: the device is not deleted during `'a`; value and length are locals, and the size is the value's.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfDeviceQueryProperty,
                self.handle,
                property,
                size_of::<ULONG>() as ULONG,
                (&raw mut value).cast(),
                &mut length
            )
        };
        Status::check(status).map(|()| value)
    }

    /// The PCI function's configuration space.
    ///
    /// # Errors
    /// What the bus driver reports; NOT_SUPPORTED when the device is on no bus that has one.
    pub fn pci_config(self, _irql: &Passive) -> Result<pci::Config> {
        let mut interface = BUS_INTERFACE_STANDARD::default();
        // SAFETY: the device is not deleted during `'a`; the structure is a local of the stated size and version.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfFdoQueryForInterface,
                self.handle,
                &pci::BUS_INTERFACE_STANDARD_GUID,
                (&raw mut interface).cast(),
                size_of::<BUS_INTERFACE_STANDARD>() as USHORT,
                pci::BUS_INTERFACE_VERSION,
                ptr::null_mut()
            )
        };
        Status::check(status)?;
        // SAFETY: the bus driver filled the structure and counted a reference for its asker.
        Ok(unsafe { pci::Config::adopt(interface) })
    }

    /// Makes the device known to user mode under an interface class (WdfDeviceCreateDeviceInterface). The framework turns
    /// the interface on when the device starts and off when it leaves.
    ///
    /// # Errors
    /// What the framework reports.
    pub fn create_interface(self, class: &GUID, _irql: &Passive) -> Result {
        // SAFETY: the device is not deleted during `'a`; the class is read; no reference string is given.
        Status::check(unsafe {
            call_unsafe_wdf_function_binding!(WdfDeviceCreateDeviceInterface, self.handle, class, ptr::null())
        })
    }
}

/// Calls `method` with the device's value and handle at PASSIVE_LEVEL.
///
/// # Safety
/// Called from one of the framework's PASSIVE_LEVEL callbacks for `handle`, a device with a context of type `D`.
unsafe fn with<D: Device, R>(
    handle: WDFDEVICE,
    method: impl FnOnce(&D, DeviceHandle<'_, D>, &mut Passive) -> R,
) -> Result<R> {
    // SAFETY: by the contract.
    let mut irql = unsafe { Passive::assume() };
    // SAFETY: the framework does not delete a device while one of its callbacks runs.
    let device = unsafe { DeviceHandle::new(handle) };
    let value = device.value()?;
    Ok(method(value, device, &mut irql))
}

/// What a callback returns to the framework.
fn answer(result: Result<Result>) -> NTSTATUS {
    Status::from(result.and_then(|inner| inner)).code()
}

unsafe extern "C" fn prepare_hardware<D: Device>(
    handle: WDFDEVICE,
    raw: WDFCMRESLIST,
    translated: WDFCMRESLIST,
) -> NTSTATUS {
    // SAFETY: the framework's EvtDevicePrepareHardware, at PASSIVE_LEVEL.
    let result = unsafe {
        with(handle, |value: &D, device, irql| {
            let raw = Resources::new(raw);
            let translated = Resources::new(translated);
            value.prepare_hardware(device, raw, translated, irql)
        })
    };
    answer(result)
}

unsafe extern "C" fn release_hardware<D: Device>(handle: WDFDEVICE, _translated: WDFCMRESLIST) -> NTSTATUS {
    // SAFETY: the framework's EvtDeviceReleaseHardware, at PASSIVE_LEVEL.
    let result = unsafe { with(handle, |value: &D, device, irql| value.release_hardware(device, irql)) };
    answer(result.map(Ok))
}

unsafe extern "C" fn d0_entry<D: Device>(handle: WDFDEVICE, previous: WDF_POWER_DEVICE_STATE) -> NTSTATUS {
    let previous = PowerState::from_raw(previous);
    // SAFETY: the framework's EvtDeviceD0Entry, at PASSIVE_LEVEL.
    answer(unsafe { with(handle, |value: &D, device, irql| value.d0_entry(device, previous, irql)) })
}

unsafe extern "C" fn d0_entry_post_interrupts_enabled<D: Device>(
    handle: WDFDEVICE,
    previous: WDF_POWER_DEVICE_STATE,
) -> NTSTATUS {
    let previous = PowerState::from_raw(previous);
    // SAFETY: the framework's EvtDeviceD0EntryPostInterruptsEnabled, at PASSIVE_LEVEL.
    let result = unsafe {
        with(handle, |value: &D, device, irql| value.d0_entry_post_interrupts_enabled(device, previous, irql))
    };
    answer(result)
}

unsafe extern "C" fn d0_exit_pre_interrupts_disabled<D: Device>(
    handle: WDFDEVICE,
    target: WDF_POWER_DEVICE_STATE,
) -> NTSTATUS {
    let target = PowerState::from_raw(target);
    // SAFETY: the framework's EvtDeviceD0ExitPreInterruptsDisabled, at PASSIVE_LEVEL.
    let result = unsafe {
        with(handle, |value: &D, device, irql| value.d0_exit_pre_interrupts_disabled(device, target, irql))
    };
    answer(result)
}

unsafe extern "C" fn d0_exit<D: Device>(handle: WDFDEVICE, target: WDF_POWER_DEVICE_STATE) -> NTSTATUS {
    let target = PowerState::from_raw(target);
    // SAFETY: the framework's EvtDeviceD0Exit, at PASSIVE_LEVEL.
    answer(unsafe { with(handle, |value: &D, device, irql| value.d0_exit(device, target, irql)) })
}

unsafe extern "C" fn surprise_removal<D: Device>(handle: WDFDEVICE) {
    // SAFETY: the framework's EvtDeviceSurpriseRemoval, at PASSIVE_LEVEL.
    let _without_value =
        unsafe { with(handle, |value: &D, device, irql| value.surprise_removal(device, irql)) };
}

unsafe extern "C" fn cleanup<D: Device>(object: WDFOBJECT) {
    // SAFETY: the framework cleans devices up at PASSIVE_LEVEL (Learn, EvtCleanupCallback).
    let _without_value = unsafe { with(object.cast(), |value: &D, _device, irql| value.cleanup(irql)) };
}
