//! Device objects and the stacks they form.

use super::layout::{device, driver, status};
use crate::kernel::Kernel;
use crate::stop::{Fault, bugcheck};

/// What the machine keeps beside a DEVICE_OBJECT.
#[derive(Debug, Clone)]
pub(crate) struct DeviceState {
    /// `\Device\…`, when it has a name.
    pub(crate) name: Option<String>,
    /// Security descriptor in SDDL.
    pub(crate) sddl: Option<String>,
    /// The device this one is attached to, zero for the bottom of a stack.
    pub(crate) lower: u64,
}

impl Kernel {
    /// IoCreateDevice.
    pub(crate) fn create_device(
        &self,
        owner: u64,
        extension: u32,
        name: Option<&str>,
        kind: u32,
        characteristics: u32,
    ) -> Result<u64, i32> {
        let taken = |name: &str| {
            self.io.devices.with(|devices| {
                let mut names = devices.values().filter_map(|state| state.name.as_deref());
                names.any(|known| known.eq_ignore_ascii_case(name))
            })
        };
        if name.is_some_and(taken) {
            return Err(status::OBJECT_NAME_COLLISION);
        }
        let size = device::SIZE + u64::from(extension);
        let what = name.map_or_else(|| format!("of {}", self.driver_name(owner)), str::to_owned);
        let at = self.system_allocate(size, format!("DEVICE_OBJECT {what}"));
        self.write(at, device::TYPE);
        self.write(at + 2, u16::try_from(size).unwrap_or(u16::MAX));
        self.write(at + device::DRIVER, owner);
        self.write(at + device::NEXT, self.read::<u64>(owner + driver::DEVICE_OBJECT));
        self.write(owner + driver::DEVICE_OBJECT, at);
        self.write(at + device::FLAGS, device::DO_DEVICE_INITIALIZING);
        self.write(at + device::CHARACTERISTICS, characteristics);
        self.write(at + device::EXTENSION, if extension == 0 { 0 } else { at + device::SIZE });
        self.write(at + device::DEVICE_TYPE, kind);
        self.write(at + device::STACK_SIZE, 1_u8);
        let state = DeviceState { name: name.map(str::to_owned), sddl: None, lower: 0 };
        self.io.devices.with(|devices| devices.insert(at, state));
        self.adopt_object(at);
        Ok(at)
    }

    /// IoDeleteDevice: out of its driver's list now, freed with its last reference.
    pub(crate) fn delete_device(&self, target: u64) {
        self.expect_device(target, "IoDeleteDevice");
        let above: u64 = self.read(target + device::ATTACHED);
        if above != 0 {
            self.stop(
                Fault::new("AttachedDevice", bugcheck::PNP_DETECTED_FATAL_ERROR)
                    .text("a device object is deleted while another one is attached to it")
                    .parameter(target, "device object")
                    .parameter(above, "the one above"),
            );
        }
        let owner: u64 = self.read(target + device::DRIVER);
        let mut link = owner + driver::DEVICE_OBJECT;
        while self.read::<u64>(link) != 0 {
            let next: u64 = self.read(link);
            if next == target {
                self.write(link, self.read::<u64>(target + device::NEXT));
                break;
            }
            link = next + device::NEXT;
        }
        self.io.devices.with(|devices| devices.remove(&target));
        self.dereference_object(target);
    }

    /// The last reference of a device object is the creator's: only IoDeleteDevice gives it back.
    pub(crate) fn check_device_dereference(&self, object: u64) {
        let name = self.io.devices.with(|devices| devices.get(&object).map(|state| state.name.clone()));
        if let Some(name) = name {
            self.stop(
                Fault::new("ObReference", bugcheck::REFERENCE_BY_POINTER)
                    .text(format!(
                        "device object {} is dereferenced more often than it was referenced",
                        name.unwrap_or_default()
                    ))
                    .parameter(object, "device object"),
            );
        }
    }

    /// IoAttachDeviceToDeviceStack: on top of the stack that `target` is in. Returns the device below.
    pub(crate) fn attach_device_object(&self, source: u64, target: u64) -> u64 {
        let lower = self.top_of_stack(target);
        self.write(lower + device::ATTACHED, source);
        let depth: u8 = self.read(lower + device::STACK_SIZE);
        self.write(source + device::STACK_SIZE, depth + 1);
        self.write(source + device::ALIGNMENT, self.read::<u32>(lower + device::ALIGNMENT));
        self.io.devices.with(|devices| {
            if let Some(state) = devices.get_mut(&source) {
                state.lower = lower;
            }
        });
        lower
    }

    /// IoDetachDevice: `lower` is the device that attaching returned.
    pub(crate) fn detach_device_object(&self, lower: u64) {
        self.expect_device(lower, "IoDetachDevice");
        let above: u64 = self.read(lower + device::ATTACHED);
        self.write(lower + device::ATTACHED, 0_u64);
        self.io.devices.with(|devices| {
            if let Some(state) = devices.get_mut(&above) {
                state.lower = 0;
            }
        });
    }

    /// The highest device of a stack.
    pub(crate) fn top_of_stack(&self, mut target: u64) -> u64 {
        loop {
            let above: u64 = self.read(target + device::ATTACHED);
            if above == 0 {
                return target;
            }
            target = above;
        }
    }

    /// The device below, if any.
    pub(crate) fn lower_device(&self, target: u64) -> Option<u64> {
        let lower = self.io.devices.with(|devices| devices.get(&target).map(|state| state.lower))?;
        (lower != 0).then_some(lower)
    }

    /// The lowest device of a stack: the PDO.
    pub(crate) fn bottom_of_stack(&self, mut target: u64) -> u64 {
        while let Some(lower) = self.lower_device(target) {
            target = lower;
        }
        target
    }

    /// The device objects a driver still has.
    pub(crate) fn devices_of(&self, owner: u64) -> Vec<u64> {
        let mut devices = Vec::new();
        let mut at: u64 = self.read(owner + driver::DEVICE_OBJECT);
        while at != 0 {
            devices.push(at);
            at = self.read(at + device::NEXT);
        }
        devices
    }

    /// Sets the security descriptor of a device.
    pub(crate) fn set_device_sddl(&self, target: u64, sddl: &str) {
        self.io.devices.with(|devices| {
            if let Some(state) = devices.get_mut(&target) {
                state.sddl = Some(sddl.to_owned());
            }
        });
    }

    fn expect_device(&self, target: u64, function: &str) {
        if !self.io.devices.with(|devices| devices.contains_key(&target)) {
            self.stop(
                Fault::new("DeviceObject", bugcheck::DRIVER_VERIFIER_IOMANAGER_VIOLATION)
                    .text(format!("{function} is called with {target:#x}, which is no device object"))
                    .parameter(target, "device object"),
            );
        }
    }
}
