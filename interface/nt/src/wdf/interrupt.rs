//! Interrupts.
//!
//! Made at PASSIVE_LEVEL ("WdfInterruptCreate") and asked about at up to DISPATCH_LEVEL ("WdfInterruptGetInfo"); the
//! routine runs at the level of its interrupt.

use core::marker::PhantomData;
use core::ptr;

use wdk_sys::{
    _WDF_INTERRUPT_POLICY, _WDF_INTERRUPT_PRIORITY, _WDF_TRI_STATE, BOOLEAN, GROUP_AFFINITY, KAFFINITY,
    NTSTATUS, ULONG, WDF_INTERRUPT_CONFIG, WDF_INTERRUPT_EXTENDED_POLICY, WDF_INTERRUPT_INFO, WDFDEVICE,
    WDFINTERRUPT, call_unsafe_wdf_function_binding,
};

use super::context::{self, Context};
use super::device::{Device, DeviceHandle};
use crate::irql;
use crate::irql::Passive;
use crate::processor::Number;
use crate::{Result, Status};

/// What happens when a device interrupts. Every method is called at the device's interrupt level.
pub trait Interrupt: Context {
    /// The device may have interrupted (EvtInterruptIsr); `message` is the message's number, 0 for a line.
    ///
    /// Gives whether it was this device. Touches only registers and atomics, and queues a DPC.
    fn service(&self, message: u32, irql: &mut irql::Device) -> bool;

    /// The interrupt is connected: let the device raise it (EvtInterruptEnable).
    ///
    /// # Errors
    /// The device fails.
    fn enable(&self, interrupt: InterruptHandle<'_, Self>, irql: &mut irql::Device) -> Result {
        let _unused = (interrupt, irql);
        Ok(())
    }

    /// The interrupt is about to be disconnected: keep the device from raising it (EvtInterruptDisable).
    fn disable(&self, interrupt: InterruptHandle<'_, Self>, irql: &mut irql::Device) {
        let _unused = (interrupt, irql);
    }
}

/// A framework interrupt, for as long as the callback that created it or was given it runs.
#[derive(Debug)]
pub struct InterruptHandle<'a, I> {
    handle: WDFINTERRUPT,
    lives: PhantomData<&'a I>,
}

impl<I> Clone for InterruptHandle<'_, I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I> Copy for InterruptHandle<'_, I> {}

/// What the system assigned to an interrupt. Valid from EvtInterruptEnable to EvtInterruptDisable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterruptInfo {
    /// A message (MSI or MSI-X) rather than a line.
    pub message_signaled: bool,
    /// The message's number, 0 for a line.
    pub message: u32,
    /// Group of the processors it may arrive at.
    pub group: u16,
    /// Those processors, as a mask in the group.
    pub processors: KAFFINITY,
}

impl<'a, D: Device> DeviceHandle<'a, D> {
    /// Creates an interrupt object (WdfInterruptCreate): the first one created gets the first interrupt resource, and so
    /// on. Called while the device is being created.
    ///
    /// # Errors
    /// What the framework reports.
    pub fn create_interrupt<I: Interrupt>(self, value: I, _irql: &Passive) -> Result<InterruptHandle<'a, I>> {
        let mut config = WDF_INTERRUPT_CONFIG {
            Size: size_of::<WDF_INTERRUPT_CONFIG>() as ULONG,
            ShareVector: _WDF_TRI_STATE::WdfUseDefault,
            EvtInterruptIsr: Some(service::<I>),
            EvtInterruptEnable: Some(enable::<I>),
            EvtInterruptDisable: Some(disable::<I>),
            ReportInactiveOnPowerDown: _WDF_TRI_STATE::WdfUseDefault,
            ..WDF_INTERRUPT_CONFIG::default()
        };
        let mut attributes = context::attributes::<I>(None);
        let mut handle: WDFINTERRUPT = ptr::null_mut();
        // SAFETY: the device is not deleted during `'a`; the others are locals.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfInterruptCreate,
                self.as_raw(),
                &mut config,
                &mut attributes,
                &mut handle
            )
        };
        Status::check(status)?;
        // SAFETY: the framework has just given the handle, a child of the device.
        let slot = unsafe { context::slot::<I>(handle.cast()) }?;
        // SAFETY: the first and only filling; the interrupt is not connected before the device starts.
        unsafe { slot.fill(value) };
        Ok(InterruptHandle { handle, lives: PhantomData })
    }
}

impl<I: Interrupt> InterruptHandle<'_, I> {
    /// Asks for the interrupt to arrive at `processor` only (WdfInterruptSetExtendedPolicy, group aware). Takes effect
    /// when the device's resource requirements are filtered, so it is asked for while the device is being created.
    ///
    /// # Errors
    /// INVALID_PARAMETER when the processor's number does not fit a mask.
    pub fn target(self, processor: Number, _irql: &Passive) -> Result {
        let mask = 1_u64.checked_shl(processor.number.into()).ok_or(Status::INVALID_PARAMETER)?;
        let mut policy = WDF_INTERRUPT_EXTENDED_POLICY {
            Size: size_of::<WDF_INTERRUPT_EXTENDED_POLICY>() as ULONG,
            Policy: _WDF_INTERRUPT_POLICY::WdfIrqPolicySpecifiedProcessors,
            Priority: _WDF_INTERRUPT_PRIORITY::WdfIrqPriorityUndefined,
            TargetProcessorSetAndGroup: GROUP_AFFINITY {
                Mask: mask,
                Group: processor.group,
                Reserved: [0; 3],
            },
        };
        // SAFETY: the interrupt lives as long as its device, which is not deleted during the callback.
        unsafe { call_unsafe_wdf_function_binding!(WdfInterruptSetExtendedPolicy, self.handle, &mut policy) };
        Ok(())
    }

    /// What the system assigned.
    #[must_use]
    pub fn info(self) -> InterruptInfo {
        let mut info = WDF_INTERRUPT_INFO {
            Size: size_of::<WDF_INTERRUPT_INFO>() as ULONG,
            ..WDF_INTERRUPT_INFO::default()
        };
        // SAFETY: the interrupt lives as long as its device, which is not deleted during the callback.
        unsafe { call_unsafe_wdf_function_binding!(WdfInterruptGetInfo, self.handle, &mut info) };
        InterruptInfo {
            message_signaled: info.MessageSignaled != 0,
            message: info.MessageNumber,
            group: info.Group,
            processors: info.TargetProcessorSet,
        }
    }
}

unsafe extern "C" fn service<I: Interrupt>(handle: WDFINTERRUPT, message: ULONG) -> BOOLEAN {
    // SAFETY: the framework calls this as the interrupt's service routine.
    let mut irql = unsafe { irql::Device::assume() };
    // SAFETY: the interrupt is not destroyed while it is connected.
    let ours =
        unsafe { context::value::<I>(handle.cast()) }.is_ok_and(|value| value.service(message, &mut irql));
    ours.into()
}

unsafe extern "C" fn enable<I: Interrupt>(handle: WDFINTERRUPT, _device: WDFDEVICE) -> NTSTATUS {
    // SAFETY: the framework calls this synchronised with the service routine.
    let mut irql = unsafe { irql::Device::assume() };
    // SAFETY: the interrupt is not destroyed while one of its callbacks runs.
    let result = unsafe { context::value::<I>(handle.cast()) }
        .and_then(|value| value.enable(InterruptHandle { handle, lives: PhantomData }, &mut irql));
    Status::from(result).code()
}

unsafe extern "C" fn disable<I: Interrupt>(handle: WDFINTERRUPT, _device: WDFDEVICE) -> NTSTATUS {
    // SAFETY: the framework calls this synchronised with the service routine.
    let mut irql = unsafe { irql::Device::assume() };
    // SAFETY: the interrupt is not destroyed while one of its callbacks runs.
    if let Ok(value) = unsafe { context::value::<I>(handle.cast()) } {
        value.disable(InterruptHandle { handle, lives: PhantomData }, &mut irql);
    }
    Status::SUCCESS.code()
}
