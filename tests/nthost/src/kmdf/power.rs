//! The callbacks of a device's life, in the framework's order.
//!
//! Source: the PnP and power state machines of the framework (pnpstatemachine.cpp, powerstatemachine.cpp):
//! start is PrepareHardware, D0Entry, interrupts connected and enabled, D0EntryPostInterruptsEnabled, queues, self-managed
//! I/O, interfaces on; the end is the same backwards, except that interfaces go off after ReleaseHardware.

use super::device::{Callbacks, Power};
use super::status;
use crate::io::layout::{irp, major, power};
use crate::io::low32;
use crate::kernel::Kernel;

/// WdfPowerDeviceD3: asleep.
const D3: u64 = 4;
/// WdfPowerDeviceD3Final: the state before the first D0 and after the last.
const D3_FINAL: u64 = 5;
/// POWER_STATE_TYPE: SystemPowerState.
const SYSTEM: u64 = 0;
/// PowerSystemWorking, and PowerDeviceD0.
const WORKING: u64 = 1;
/// PowerDeviceD3.
const DEVICE_D3: u64 = 4;

impl Kernel {
    /// Calls a PnP or power callback if the driver has it.
    fn wdf_event(&self, handle: u64, name: &str, pick: impl FnOnce(&Callbacks) -> u64, more: &[u64]) -> i32 {
        let routine = self.wdf_device(handle, |device| pick(&device.callbacks));
        if routine == 0 {
            return status::SUCCESS;
        }
        self.record(name.to_owned(), 0);
        let arguments: Vec<u64> = core::iter::once(handle).chain(more.iter().copied()).collect();
        low32(self.call(name, routine, &arguments))
    }

    fn set_wdf_power(&self, handle: u64, power: Power) {
        self.wdf_device(handle, |device| device.power = power);
    }

    /// IRP_MN_START_DEVICE.
    pub(super) fn wdf_start(&self, handle: u64, packet: u64) -> i32 {
        let lower = self.wdf_device(handle, |device| device.lower);
        let result = self.forward_and_wait(lower, packet);
        if !status::ok(result) {
            return self.finish_irp(packet, result, 0);
        }
        let (raw, translated) = (self.irp_parameter(packet, 0), self.irp_parameter(packet, 1));
        let result = self.start_hardware(handle, raw, translated);
        self.finish_irp(packet, result, 0)
    }

    fn start_hardware(&self, handle: u64, raw: u64, translated: u64) -> i32 {
        let lists = self.wdf_resource_lists(handle, raw, translated);
        self.wdf_device(handle, |device| device.resources = Some(lists));
        self.assign_interrupts(handle, lists);
        self.set_wdf_power(handle, Power::Preparing);
        let result = self.wdf_event(
            handle,
            "EvtDevicePrepareHardware",
            |events| events.prepare_hardware,
            &[lists.0, lists.1],
        );
        if !status::ok(result) {
            self.fail_start(handle);
            return result;
        }
        let result = self.enter_d0(handle, D3_FINAL);
        if !status::ok(result) {
            self.fail_start(handle);
            return result;
        }
        self.switch_interfaces(handle, true);
        status::SUCCESS
    }

    /// Into D0 from `before`: the driver's callbacks, then its queues. What was begun is undone when a step fails.
    fn enter_d0(&self, handle: u64, before: u64) -> i32 {
        let result = self.wdf_event(handle, "EvtDeviceD0Entry", |events| events.d0_entry, &[before]);
        if !status::ok(result) {
            return status::DEVICE_POWER_FAILURE;
        }
        let mut result = self.connect_interrupts(handle);
        if status::ok(result) {
            let post = |events: &Callbacks| events.d0_entry_post_interrupts_enabled;
            result = self.wdf_event(handle, "EvtDeviceD0EntryPostInterruptsEnabled", post, &[before]);
        }
        if !status::ok(result) {
            self.disconnect_interrupts(handle);
            self.wdf_event(handle, "EvtDeviceD0Exit", |events| events.d0_exit, &[D3_FINAL]);
            return status::DEVICE_POWER_FAILURE;
        }
        self.set_wdf_power(handle, Power::Working);
        self.resume_queues(handle);
        let again = self.wdf_device(handle, |device| core::mem::replace(&mut device.self_managed, true));
        let (name, pick): (_, fn(&Callbacks) -> u64) = if again {
            ("EvtDeviceSelfManagedIoRestart", |events| events.io_restart)
        } else {
            ("EvtDeviceSelfManagedIoInit", |events| events.io_init)
        };
        self.wdf_event(handle, name, pick, &[]);
        status::SUCCESS
    }

    /// A start that failed after the hardware was handed over: it is given back.
    fn fail_start(&self, handle: u64) {
        self.release_hardware(handle);
        self.clean_up_for_remove(handle);
        self.set_wdf_power(handle, Power::Failed);
    }

    /// IRP_MN_QUERY_REMOVE_DEVICE and IRP_MN_QUERY_STOP_DEVICE: the driver may refuse.
    pub(super) fn wdf_query(&self, handle: u64, packet: u64, name: &str, pick: fn(&Callbacks) -> u64) -> i32 {
        let result = self.wdf_event(handle, name, pick, &[]);
        if !status::ok(result) {
            return self.finish_irp(packet, result, 0);
        }
        self.write(packet + irp::STATUS, status::SUCCESS);
        self.skip_and_call(self.wdf_device(handle, |device| device.lower), packet)
    }

    /// Takes the device out of the state `from`, for a way into D0 or out of it; false when it is in another state. The
    /// framework's power machine goes one such way at a time, whichever thread asks (powerstatemachine.cpp).
    fn begin_power_change(&self, handle: u64, from: Power) -> bool {
        loop {
            let state = self.wdf_device(handle, |device| {
                if device.power == from {
                    core::mem::replace(&mut device.power, Power::Changing)
                } else {
                    device.power
                }
            });
            match state {
                Power::Changing => drop(self.wait_for(&[], false, Some(-10))),
                state => return state == from,
            }
        }
    }

    /// Out of D0 to `target`: the way of sleep, stop, removal and surprise removal.
    fn leave_d0(&self, handle: u64, target: u64) {
        if !self.begin_power_change(handle, Power::Working) {
            return;
        }
        self.wdf_event(handle, "EvtDeviceSelfManagedIoSuspend", |events| events.io_suspend, &[]);
        self.hold_queues(handle);
        let pre = |events: &Callbacks| events.d0_exit_pre_interrupts_disabled;
        self.wdf_event(handle, "EvtDeviceD0ExitPreInterruptsDisabled", pre, &[target]);
        self.disconnect_interrupts(handle);
        self.wdf_event(handle, "EvtDeviceD0Exit", |events| events.d0_exit, &[target]);
        self.set_wdf_power(handle, Power::Low);
    }

    /// IRP_MN_SET_POWER. The framework owns the power policy: a system state becomes a device state, which it asks
    /// for itself; a device state takes the driver out of D0 on the way down, and into D0 on the way up.
    pub(super) fn wdf_set_power(&self, handle: u64, packet: u64) -> i32 {
        let (object, lower) = self.wdf_device(handle, |device| (device.object, device.lower));
        let (kind, state) =
            (self.irp_parameter(packet, 1) & 0xFFFF_FFFF, self.irp_parameter(packet, 2) & 0xFFFF_FFFF);
        self.write(packet + irp::STATUS, status::SUCCESS);
        match (kind, state) {
            (SYSTEM, WORKING) => {
                let result = self.forward_and_wait(lower, packet);
                self.request_device_power(object, WORKING);
                self.finish_irp(packet, result, 0)
            }
            (SYSTEM, _) => {
                self.request_device_power(object, DEVICE_D3);
                self.skip_and_call(lower, packet)
            }
            (_, WORKING) => {
                let result = self.forward_and_wait(lower, packet);
                if status::ok(result) && self.begin_power_change(handle, Power::Low) {
                    self.wake(handle);
                }
                self.finish_irp(packet, result, 0)
            }
            _ => {
                self.leave_d0(handle, D3);
                self.skip_and_call(lower, packet)
            }
        }
    }

    /// PoRequestPowerIrp: a device power packet from the top of the stack.
    fn request_device_power(&self, object: u64, state: u64) {
        let top = self.top_of_stack(object);
        self.send_irp(top, major::POWER, power::SET_POWER, [0, 1, state, 0]);
    }

    /// Back into D0. A device that cannot is given up, and the PnP manager told.
    fn wake(&self, handle: u64) {
        if status::ok(self.enter_d0(handle, D3)) {
            return;
        }
        self.fail_start(handle);
        let pdo = self.wdf_device(handle, |device| {
            device.failed = true;
            device.pdo
        });
        self.invalidate_device_state(pdo);
    }

    /// EvtDeviceReleaseHardware, if the hardware was handed over.
    fn release_hardware(&self, handle: u64) {
        let Some((raw, translated)) = self.wdf_device(handle, |device| device.resources.take()) else {
            return;
        };
        self.wdf_event(handle, "EvtDeviceReleaseHardware", |events| events.release_hardware, &[translated]);
        self.revoke_interrupts(handle);
        self.wdf_delete(raw);
        self.wdf_delete(translated);
    }

    /// Interfaces off, queues purged, self-managed I/O flushed.
    fn clean_up_for_remove(&self, handle: u64) {
        self.switch_interfaces(handle, false);
        self.purge_queues(handle, true);
        if self.wdf_device(handle, |device| device.self_managed) {
            self.wdf_event(handle, "EvtDeviceSelfManagedIoFlush", |events| events.io_flush, &[]);
        }
    }

    fn switch_interfaces(&self, handle: u64, on: bool) {
        let (pdo, interfaces) = self.wdf_device(handle, |device| (device.pdo, device.interfaces.clone()));
        for (class, reference) in interfaces {
            self.enable_interface(pdo, class, &reference, on);
        }
    }

    /// IRP_MN_STOP_DEVICE.
    pub(super) fn wdf_stop(&self, handle: u64, packet: u64) -> i32 {
        self.leave_d0(handle, D3_FINAL);
        self.release_hardware(handle);
        self.set_wdf_power(handle, Power::Stopped);
        self.write(packet + irp::STATUS, status::SUCCESS);
        self.skip_and_call(self.wdf_device(handle, |device| device.lower), packet)
    }

    /// IRP_MN_SURPRISE_REMOVAL.
    pub(super) fn wdf_surprise_removal(&self, handle: u64, packet: u64) -> i32 {
        self.wdf_event(handle, "EvtDeviceSurpriseRemoval", |events| events.surprise_removal, &[]);
        self.leave_d0(handle, D3_FINAL);
        self.release_hardware(handle);
        self.clean_up_for_remove(handle);
        self.set_wdf_power(handle, Power::Failed);
        self.write(packet + irp::STATUS, status::SUCCESS);
        self.skip_and_call(self.wdf_device(handle, |device| device.lower), packet)
    }

    /// IRP_MN_REMOVE_DEVICE: what is left of the above, the driver's cleanup, then down and away.
    pub(super) fn wdf_remove(&self, handle: u64, packet: u64) -> i32 {
        let before = self.wdf_device(handle, |device| device.power);
        self.leave_d0(handle, D3_FINAL);
        self.release_hardware(handle);
        if !matches!(before, Power::Init | Power::Failed) {
            self.clean_up_for_remove(handle);
        }
        self.purge_queues(handle, false);
        if self.wdf_device(handle, |device| device.self_managed) {
            self.wdf_event(handle, "EvtDeviceSelfManagedIoCleanup", |events| events.io_cleanup, &[]);
        }
        self.wdf_dispose(handle);
        let lower = self.wdf_device(handle, |device| device.lower);
        self.write(packet + irp::STATUS, status::SUCCESS);
        let result = self.skip_and_call(lower, packet);
        self.tear_down(handle);
        result
    }
}
