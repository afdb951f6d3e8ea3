//! The sequences of packets that bring a device to life, stop it and remove it.
//!
//! Sources: Learn, "Adding a PnP Device to a Running System", "Removing a Device in an Orderly Manner", "Handling an
//! Unexpected Device Removal", "Stopping a Device to Rebalance Resources". docs/nthost.md has the tables.

use super::resources::Assignment;
use super::{DevnodeId, Problem, Query, RemoveError, State};
use crate::inf::InfError;
use crate::install::{Installed, Source};
use crate::io::layout::{device, driver, irp, major, pnp, status};
use crate::io::service::ServiceError;
use crate::io::{NtStatus, low32};
use crate::kernel::Kernel;
use crate::memory::dma::Remapping;
use crate::pci::requirements::{decode_requirements, encode_resources};
use crate::registry::{ENUM, SERVICES, Value};

/// What installing a package did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// `oem0.inf`.
    pub published: String,
    /// Its folder in the driver store.
    pub folder: String,
    /// The devices it was installed on.
    pub devices: Vec<DevnodeId>,
}

/// Why a package was not installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstallError {
    /// The package is wrong.
    Inf(InfError),
    /// No device of the machine has one of its ids.
    NoDevice {
        /// The INF.
        file: String,
        /// Ids it serves.
        serves: Vec<String>,
        /// First hardware ids of the devices that have no driver.
        waiting: Vec<String>,
    },
}

impl core::fmt::Display for InstallError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Inf(error) => write!(f, "{error}"),
            Self::NoDevice { file, serves, waiting } => {
                let shown = |ids: &[String]| match ids {
                    [] => "none".to_owned(),
                    [one] => one.clone(),
                    [first, .., last] => format!("{first} … {last}"),
                };
                write!(
                    f,
                    "{file}: no device of this machine has an id that the INF serves ({}); devices without a driver: {}; \
                     plug the device in first, or add its id to the models section",
                    shown(serves),
                    shown(waiting)
                )
            }
        }
    }
}

impl core::error::Error for InstallError {}

impl From<InfError> for InstallError {
    fn from(error: InfError) -> Self {
        Self::Inf(error)
    }
}

impl Kernel {
    /// `pnputil /add-driver`: into the driver store; a primitive driver is installed with it.
    ///
    /// # Errors
    /// What is wrong with the package.
    pub fn stage_package(&self, source: &Source) -> Result<Installation, InstallError> {
        self.system.with(|system| {
            let package = system.stage(source)?;
            let (published, folder) = (package.published.clone(), package.folder.clone());
            Ok(Installation { published, folder, devices: Vec::new() })
        })
    }

    /// `pnputil /add-driver /install`: staged, then installed on every device it serves best, which then starts.
    ///
    /// # Errors
    /// What is wrong with the package, or that no device matches.
    pub fn install_package(&self, source: &Source) -> Result<Installation, InstallError> {
        let mut done = self.stage_package(source)?;
        for id in self.all_nodes() {
            let Some(node) = self.node(id) else { continue };
            let best = self.system.with(|system| {
                system.best_driver(&node.ids).map(|(package, _, _)| package.published.clone())
            });
            if best.as_ref() == Some(&done.published) {
                done.devices.push(id);
                if node.problem.is_some() || node.state == State::Enumerated {
                    self.configure(id);
                }
            }
        }
        let serves: Vec<String> = self.system.with(|system| {
            let package = system.packages().iter().find(|package| package.published == done.published);
            package
                .map(|package| package.models.iter().flat_map(|model| model.ids.clone()).collect())
                .unwrap_or_default()
        });
        if done.devices.is_empty() && !serves.is_empty() {
            let waiting = self.all_nodes().into_iter().filter_map(|id| {
                let node = self.node(id)?;
                node.service.is_empty().then(|| node.ids.hardware.first().cloned())?
            });
            let waiting = waiting.collect();
            return Err(InstallError::NoDevice { file: source.inf.clone(), serves, waiting });
        }
        Ok(done)
    }

    /// What the bus tells of a new device: its Enum key.
    pub(super) fn enumerate(&self, id: DevnodeId) {
        let Some(node) = self.node(id) else { return };
        self.record(format!("enumerated {}", node.ids.instance), 0);
        let key = format!(r"{ENUM}\{}", node.ids.instance);
        let location = node.slot.as_ref().map(|slot| slot.location.to_string()).unwrap_or_default();
        self.system.with(|system| {
            system.registry.set(&key, "HardwareID", Value::MultiSz(node.ids.hardware.clone()));
            system.registry.set(&key, "CompatibleIDs", Value::MultiSz(node.ids.compatible.clone()));
            if !location.is_empty() {
                system.registry.set(&key, "LocationInformation", Value::Sz(location));
            }
            system.registry.create(&format!(r"{key}\Device Parameters"));
        });
    }

    /// Installs the best staged driver on a device, builds its stack and starts it.
    pub(super) fn configure(&self, id: DevnodeId) {
        let Some(node) = self.node(id) else { return };
        let installed: Option<Installed> = match self.system.with(|system| system.install_device(&node.ids)) {
            Ok(installed) => installed,
            Err(error) => {
                self.fail_node(id, Problem::FailedLoad(error.to_string()));
                return;
            }
        };
        let Some(installed) = installed else {
            self.fail_node(id, Problem::NotInstalled);
            return;
        };
        self.change_node(id, |node| {
            node.service = installed.service;
            node.description = installed.description;
            node.driver_ver = installed.driver_ver;
            node.problem = None;
        });
        self.start_device(id);
    }

    fn fail_node(&self, id: DevnodeId, problem: Problem) {
        self.record(format!("device {}: {problem}", id.0), u64::from(problem.code()));
        self.change_node(id, |node| node.problem = Some(problem));
    }

    /// Loads the driver, lets it add its device, and starts the stack. The outcome is the device's state and problem.
    pub fn start_device(&self, id: DevnodeId) {
        if let Some(node) = self.node(id)
            && matches!(node.state, State::Enumerated | State::Removed)
            && !self.add_device(id)
        {
            return;
        }
        let Some(node) = self.node(id) else { return };
        if node.state != State::Added {
            return;
        }
        self.change_node(id, |node| node.problem = None);
        match self.find_resources(id) {
            None => self.fail_node(id, Problem::NormalConflict),
            Some(assignment) => {
                let result = self.start_stack(id, assignment);
                if !status::ok(result) {
                    self.fail_node(id, Problem::FailedStart(NtStatus(result)));
                    // Learn, "Handling a Start Failure": the PnP manager sends remove packets to the stack.
                    self.remove_stack(id);
                }
            }
        }
    }

    /// Driver and AddDevice; says whether the stack is built.
    fn add_device(&self, id: DevnodeId) -> bool {
        let Some(node) = self.node(id) else { return false };
        if node.slot.is_some() && self.dma_domain(node.pdo).is_none() {
            let domain = self.dma_register(node.pdo, self.remapping_of(&node.ids.instance, &node.service));
            if let Some(slot) = &node.slot {
                slot.domain.with(|known| *known = Some(domain));
            }
        }
        let object = match self.load_driver(&node.service) {
            Ok(object) => object,
            Err(error @ ServiceError::Entry(..)) => {
                self.fail_node(id, Problem::FailedDriverEntry(error.to_string()));
                return false;
            }
            Err(error) => {
                self.fail_node(id, Problem::FailedLoad(error.to_string()));
                return false;
            }
        };
        self.send_query_caps(node.pdo);
        let routine: u64 =
            self.read(self.read::<u64>(object + driver::EXTENSION) + driver::EXTENSION_ADD_DEVICE);
        let name = self.driver_name(object);
        self.record(format!("AddDevice of {name}"), 0);
        let result = match self.framework_add_device(object, node.pdo) {
            Some(result) => result,
            None if routine == 0 => status::INVALID_DEVICE_REQUEST,
            None => low32(self.call(&format!("AddDevice of {name}"), routine, &[object, node.pdo])),
        };
        let attached = self.read::<u64>(node.pdo + device::ATTACHED) != 0;
        if !status::ok(result) || !attached {
            let result = if status::ok(result) { status::NO_SUCH_DEVICE } else { result };
            self.fail_node(id, Problem::FailedAdd(NtStatus(result)));
            self.unload_if_unused(&node.service);
            return false;
        }
        self.change_node(id, |node| node.state = State::Added);
        true
    }

    /// Whether a device is behind remapping hardware: not when its INF opted out, in either spelling (Learn, "Enabling
    /// DMA remapping for device drivers").
    fn remapping_of(&self, instance: &str, service: &str) -> Remapping {
        let per_device = format!(r"{ENUM}\{instance}\Device Parameters\DMA Management");
        let per_driver = format!(r"{SERVICES}\{service}\Parameters");
        let out = self.system.with(|system| {
            system.registry.dword(&per_device, "RemappingSupported") == Some(0)
                || system.registry.dword(&per_driver, "DmaRemappingCompatible") == Some(0)
        });
        if out { Remapping::OptedOut } else { Remapping::Allowed }
    }

    fn send_query_caps(&self, target: u64) {
        // DEVICE_CAPABILITIES is 0x40 bytes; version 1; address and UI number start as all ones (Learn,
        // IRP_MN_QUERY_CAPABILITIES).
        let capabilities = self.system_allocate(0x40, "DEVICE_CAPABILITIES");
        self.write(capabilities, 0x40_u16);
        self.write(capabilities + 2, 1_u16);
        self.write(capabilities + 8, u32::MAX);
        self.write(capabilities + 0xC, u32::MAX);
        let top = self.top_of_stack(target);
        self.send_irp(top, major::PNP, pnp::QUERY_CAPABILITIES, [capabilities, 0, 0, 0]);
        self.system_free(capabilities);
    }

    /// Requirements of the bus, filtered by the stack, satisfied by the arbiter.
    fn find_resources(&self, id: DevnodeId) -> Option<Assignment> {
        let node = self.node(id)?;
        let top = self.top_of_stack(node.pdo);
        let (result, list) = self.send_irp(top, major::PNP, pnp::QUERY_RESOURCE_REQUIREMENTS, [0; 4]);
        let list = if status::ok(result) { list } else { 0 };
        // The list is handed down in the parameters and in Information; what is in Information at the end counts.
        let (result, filtered) = self.send_irp_with(
            top,
            major::PNP,
            pnp::FILTER_RESOURCE_REQUIREMENTS,
            [list, 0, 0, 0],
            |packet| {
                self.write(packet + irp::INFORMATION, list);
            },
        );
        let list = if status::ok(result) { filtered } else { list };
        if list == 0 {
            return self.arbitrate(id, &[Vec::new()]);
        }
        let size: u32 = self.read(list);
        let bytes = self.bytes(list, usize::try_from(size).unwrap_or(0));
        self.pool_free(list);
        match decode_requirements(&bytes) {
            Ok(lists) => {
                self.change_node(id, |node| node.requirements.clone_from(&lists));
                self.arbitrate(id, &lists)
            }
            Err(error) => {
                self.record(format!("resource requirements of device {}: {error}", id.0), 0);
                None
            }
        }
    }

    /// IRP_MN_START_DEVICE with what follows it.
    fn start_stack(&self, id: DevnodeId, assignment: Assignment) -> i32 {
        let Some(node) = self.node(id) else { return status::NO_SUCH_DEVICE };
        let bus = node.slot.as_ref().map_or(0, |slot| u32::from(slot.location.bus));
        let list = |resources: &[crate::pci::requirements::Assigned], what: &str| {
            if resources.is_empty() {
                return 0;
            }
            let bytes = encode_resources(bus, resources);
            let at = self.system_allocate(u64::try_from(bytes.len()).unwrap_or(0), what);
            self.write_bytes(at, &bytes);
            at
        };
        let raw = list(&assignment.raw, "CM_RESOURCE_LIST (raw)");
        let translated = list(&assignment.translated, "CM_RESOURCE_LIST (translated)");
        self.change_node(id, |node| node.assignment = Some(assignment));
        let top = self.top_of_stack(node.pdo);
        let (result, _) = self.send_irp(top, major::PNP, pnp::START_DEVICE, [raw, translated, 0, 0]);
        [raw, translated].into_iter().filter(|at| *at != 0).for_each(|at| self.system_free(at));
        if status::ok(result) {
            self.change_node(id, |node| node.state = State::Started);
            self.send_query_caps(node.pdo);
            self.check_device_state(id);
            self.send_irp(top, major::PNP, pnp::QUERY_DEVICE_RELATIONS, [0; 4]);
        }
        result
    }

    /// IRP_MN_QUERY_PNP_DEVICE_STATE: PNP_DEVICE_FAILED (4) or PNP_DEVICE_REMOVED (8) end the device.
    fn check_device_state(&self, id: DevnodeId) {
        let Some(node) = self.node(id) else { return };
        let top = self.top_of_stack(node.pdo);
        let (result, flags) = self.send_irp(top, major::PNP, pnp::QUERY_PNP_DEVICE_STATE, [0; 4]);
        if status::ok(result) && flags & 0xC != 0 {
            self.fail_node(id, Problem::FailedPostStart);
            self.surprise_sequence(id);
        }
    }

    /// IoInvalidateDeviceState: the state is asked for by a system thread.
    pub(crate) fn invalidate_device_state(&self, pdo: u64) {
        if let Some((id, _)) = self.node_of(pdo) {
            self.spawn("PnP device state", 0, Box::new(move |k: &Self| k.check_device_state(id)));
        }
    }

    /// Removes a device in an orderly manner: asked first, then removed. A PCI function stays in its slot and can be
    /// started again; a root-enumerated device is gone.
    ///
    /// # Errors
    /// Open files, or a driver's veto; the device then works on.
    pub fn remove_device(&self, id: DevnodeId) -> Result<(), RemoveError> {
        let node = self.node(id).filter(|node| node.state != State::Gone).ok_or(RemoveError::Unknown)?;
        if node.state == State::Started {
            let open = self.open_files_of(node.pdo);
            let top = self.top_of_stack(node.pdo);
            let (result, _) = self.send_irp(top, major::PNP, pnp::QUERY_REMOVE_DEVICE, [0; 4]);
            if open > 0 || !status::ok(result) {
                self.send_irp(top, major::PNP, pnp::CANCEL_REMOVE_DEVICE, [0; 4]);
                let veto = RemoveError::Vetoed(NtStatus(result));
                return Err(if open > 0 { RemoveError::InUse(open) } else { veto });
            }
        }
        self.remove_stack(id);
        if node.slot.is_none() {
            self.forget_node(id);
        }
        Ok(())
    }

    /// A started device is asked whether it may be stopped or removed, and then told that nothing comes of it, as when
    /// a driver of another stack refuses.
    ///
    /// # Errors
    /// The device is not started.
    pub fn query_and_cancel(&self, id: DevnodeId, query: Query) -> Result<(), RemoveError> {
        let node = self.node(id).filter(|node| node.state == State::Started).ok_or(RemoveError::Unknown)?;
        let top = self.top_of_stack(node.pdo);
        let (ask, cancel) = match query {
            Query::Stop => (pnp::QUERY_STOP_DEVICE, pnp::CANCEL_STOP_DEVICE),
            Query::Remove => (pnp::QUERY_REMOVE_DEVICE, pnp::CANCEL_REMOVE_DEVICE),
        };
        self.send_irp(top, major::PNP, ask, [0; 4]);
        self.send_irp(top, major::PNP, cancel, [0; 4]);
        Ok(())
    }

    /// The function is pulled without warning, and the system learns of it.
    ///
    /// # Errors
    /// When there is no such device.
    pub fn surprise_remove(&self, id: DevnodeId) -> Result<(), RemoveError> {
        let node = self.node(id).filter(|node| node.state != State::Gone).ok_or(RemoveError::Unknown)?;
        if let Some(slot) = &node.slot {
            self.pull_function(slot);
        }
        self.surprise_sequence(id);
        Ok(())
    }

    /// The function will be gone after some further register accesses; the system learns of it with
    /// [`Kernel::surprise_remove`].
    ///
    /// # Errors
    /// When there is no such function.
    pub fn vanish_after(&self, id: DevnodeId, accesses: u64) -> Result<(), RemoveError> {
        let slot = self.node(id).and_then(|node| node.slot).ok_or(RemoveError::Unknown)?;
        self.pull_function_after(&slot, accesses);
        Ok(())
    }

    /// The function will be gone at the `number`-th switch point from here on, counted from one: before or after a kernel
    /// call or a register access of any driver, in single-step mode behind any instruction. The system learns of it with
    /// [`Kernel::surprise_remove`]; [`Kernel::switch_points`] says how many there were.
    ///
    /// # Errors
    /// When there is no such function.
    pub fn vanish_at(&self, id: DevnodeId, number: u64) -> Result<(), RemoveError> {
        let slot = self.node(id).and_then(|node| node.slot).ok_or(RemoveError::Unknown)?;
        self.pull_function_at(slot, number);
        Ok(())
    }

    /// IRP_MN_SURPRISE_REMOVAL, and IRP_MN_REMOVE_DEVICE once the last file is closed.
    fn surprise_sequence(&self, id: DevnodeId) {
        let Some(node) = self.node(id) else { return };
        if matches!(node.state, State::Started | State::Stopped) {
            self.change_node(id, |node| node.state = State::SurpriseRemoved);
            let top = self.top_of_stack(node.pdo);
            self.send_irp(top, major::PNP, pnp::SURPRISE_REMOVAL, [0; 4]);
        }
        self.change_node(id, |node| node.told_gone = true);
        self.finish_surprise_if_unused(id);
    }

    /// Removes the stack of a device that is gone once it has been told so, no file is open, and no power packet is under
    /// way, which holds the stack's remove locks (Learn, "Using Remove Locks"). Whoever was the last calls this.
    pub(super) fn finish_surprise_if_unused(&self, id: DevnodeId) {
        let unused = |node: &super::Devnode| {
            node.told_gone && node.power_packets == 0 && self.open_files_of(node.pdo) == 0
        };
        if self.node(id).is_some_and(|node| unused(&node)) {
            self.finish_surprise(id);
        }
    }

    fn finish_surprise(&self, id: DevnodeId) {
        self.remove_stack(id);
        let gone = self.node(id).is_some_and(|node| node.slot.is_none_or(|slot| !slot.present()));
        if gone {
            self.forget_node(id);
        }
    }

    /// The last file of a device was closed: a removal may have waited for it.
    pub(crate) fn files_closed(&self, pdo: u64) {
        if let Some((id, node)) = self.node_of(pdo)
            && node.state == State::SurpriseRemoved
        {
            self.finish_surprise_if_unused(id);
        }
    }

    /// IRP_MN_REMOVE_DEVICE; afterwards only the PDO is left of the stack, and a driver nobody needs is unloaded.
    fn remove_stack(&self, id: DevnodeId) {
        let Some(node) = self.node(id) else { return };
        if matches!(node.state, State::Enumerated | State::Removed | State::Gone) {
            return;
        }
        let top = self.top_of_stack(node.pdo);
        self.send_irp(top, major::PNP, pnp::REMOVE_DEVICE, [0; 4]);
        self.check_adapters_returned(node.pdo, "IRP_MN_REMOVE_DEVICE");
        let above: u64 = self.read(node.pdo + device::ATTACHED);
        if above != 0 {
            self.stop(
                crate::stop::Fault::new("PnpRemove", crate::stop::bugcheck::PNP_DETECTED_FATAL_ERROR)
                    .text(format!("{} is removed and a driver is still attached to it", node.ids.instance))
                    .parameter(above, "device object"),
            );
        }
        let left = self.forget_interfaces(node.pdo);
        if let Some(link) = left.first() {
            self.stop(
                crate::stop::Fault::new("DeviceInterface", crate::stop::bugcheck::PNP_DETECTED_FATAL_ERROR)
                    .text(format!("{} is removed and its interface {link} is still on", node.ids.instance)),
            );
        }
        if let Some(assignment) = &node.assignment {
            self.release_assignment(assignment);
        }
        self.change_node(id, |node| {
            node.assignment = None;
            node.state = State::Removed;
            node.told_gone = false;
        });
        self.unload_if_unused(&node.service);
    }

    /// The device itself is gone: PDO, devnode, place on the bus.
    fn forget_node(&self, id: DevnodeId) {
        let Some(node) = self.node(id) else { return };
        self.change_node(id, |node| node.state = State::Gone);
        if let Some(slot) = &node.slot {
            self.forget_function(slot);
        }
        self.dma_forget(node.pdo);
        self.delete_device(node.pdo);
    }

    /// The PnP manager unloads a driver with its last device (Learn, "Unload routine").
    fn unload_if_unused(&self, service: &str) {
        if let Some(object) = self.driver_of_service(service)
            && self.devices_of(object).is_empty()
            && let Err(error) = self.unload_driver(service)
        {
            self.record(error.to_string(), 0);
        }
    }

    /// Stops a started device and starts it again with what the arbiter then gives: a rebalance.
    ///
    /// # Errors
    /// A driver's veto; the device then works on.
    pub fn rebalance(&self, id: DevnodeId) -> Result<(), RemoveError> {
        let node = self.node(id).filter(|node| node.state == State::Started).ok_or(RemoveError::Unknown)?;
        let top = self.top_of_stack(node.pdo);
        let (result, _) = self.send_irp(top, major::PNP, pnp::QUERY_STOP_DEVICE, [0; 4]);
        if !status::ok(result) {
            self.send_irp(top, major::PNP, pnp::CANCEL_STOP_DEVICE, [0; 4]);
            return Err(RemoveError::Vetoed(NtStatus(result)));
        }
        self.send_irp(top, major::PNP, pnp::STOP_DEVICE, [0; 4]);
        self.check_adapters_returned(node.pdo, "IRP_MN_STOP_DEVICE");
        if let Some(assignment) = &node.assignment {
            self.release_assignment(assignment);
        }
        self.change_node(id, |node| {
            node.assignment = None;
            node.state = State::Stopped;
        });
        match self.find_resources(id) {
            Some(assignment) => {
                let result = self.start_stack(id, assignment);
                if !status::ok(result) {
                    self.fail_node(id, Problem::FailedStart(NtStatus(result)));
                    self.surprise_sequence(id);
                }
            }
            None => {
                self.fail_node(id, Problem::NormalConflict);
                self.remove_stack(id);
            }
        }
        Ok(())
    }
}
