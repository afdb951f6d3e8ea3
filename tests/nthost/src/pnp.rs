//! The PnP manager: devices, their drivers, and the packets that start and remove them.

mod bus;
mod properties;
mod resources;
pub(crate) mod sequence;
mod shutdown;
mod system_power;

use std::sync::Arc;

use crate::guarded::Guarded;
use crate::install::DeviceIds;
use crate::io::NtStatus;
use crate::io::layout::device;
use crate::kernel::Kernel;
use crate::pci::bus::Slot;
use crate::pci::requirements::Requirement;
use crate::pci::{Location, PciFunction};
use resources::Assignment;

pub(crate) use bus::tables;
pub use sequence::{InstallError, Installation};
pub use shutdown::Report;
pub use system_power::Sleep;

/// What the PnP manager keeps.
#[derive(Debug, Default)]
pub(crate) struct Pnp {
    nodes: Guarded<Vec<Devnode>>,
    drivers: Guarded<Option<BusDrivers>>,
    /// References to the bus interface of each function.
    interfaces: Guarded<std::collections::BTreeMap<u64, i64>>,
    /// Messages a function gets at most, when the machine is short of them.
    pub(crate) message_limit: Guarded<Option<u16>>,
}

/// The driver objects of the machine's own bus drivers.
#[derive(Debug, Clone, Copy)]
struct BusDrivers {
    pci: u64,
    root: u64,
}

/// Names a device of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DevnodeId(usize);

/// A device.
#[derive(Debug, Clone)]
struct Devnode {
    ids: DeviceIds,
    pdo: u64,
    slot: Option<Arc<Slot>>,
    state: State,
    problem: Option<Problem>,
    service: String,
    description: String,
    driver_ver: String,
    assignment: Option<Assignment>,
    /// The requirements as they came back from the stack.
    requirements: Vec<Vec<Requirement>>,
    /// The arbiter has nothing for it.
    starved: bool,
    /// Power packets under way in its stack: a surprise removal does not tear it down before they are done.
    power_packets: u32,
    /// Its stack has been told of its surprise removal.
    told_gone: bool,
}

/// Where a device is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Enumerated, no driver.
    Enumerated,
    /// AddDevice has run.
    Added,
    /// Started.
    Started,
    /// Stopped for a rebalance.
    Stopped,
    /// Gone without warning; not yet removed.
    SurpriseRemoved,
    /// Its stack is torn down; the device itself is still there.
    Removed,
    /// Gone.
    Gone,
}

/// Why a device does not work (CM_PROB_… of cfg.h; the number is the one Device Manager shows).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Code 28: no driver package serves it.
    NotInstalled,
    /// Code 39: the driver could not be loaded.
    FailedLoad(String),
    /// Code 37: DriverEntry failed.
    FailedDriverEntry(String),
    /// Code 31: AddDevice failed.
    FailedAdd(NtStatus),
    /// Code 12: no resources are free for it.
    NormalConflict,
    /// Code 10: START failed.
    FailedStart(NtStatus),
    /// Code 43: the driver reported a failure of a started device.
    FailedPostStart,
}

impl Problem {
    /// The number.
    #[must_use]
    pub const fn code(&self) -> u32 {
        match self {
            Self::FailedStart(_) => 10,
            Self::NormalConflict => 12,
            Self::NotInstalled => 28,
            Self::FailedAdd(_) => 31,
            Self::FailedDriverEntry(_) => 37,
            Self::FailedLoad(_) => 39,
            Self::FailedPostStart => 43,
        }
    }
}

impl core::fmt::Display for Problem {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "code {}: ", self.code())?;
        match self {
            Self::NotInstalled => f.write_str("no driver is installed for this device"),
            Self::FailedLoad(why) => write!(f, "the driver could not be loaded: {why}"),
            Self::FailedDriverEntry(why) => f.write_str(why),
            Self::FailedAdd(status) => write!(f, "the driver refused the device: {status}"),
            Self::NormalConflict => f.write_str("no resources are free for this device"),
            Self::FailedStart(status) => write!(f, "the device cannot start: {status}"),
            Self::FailedPostStart => f.write_str("the driver reported that the device has failed"),
        }
    }
}

/// A device as the host sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceReport {
    /// Its name for further requests.
    pub id: DevnodeId,
    /// Device instance path.
    pub instance: String,
    /// What the INF calls it; empty before a driver is installed.
    pub description: String,
    /// The function driver's service.
    pub service: String,
    /// `DriverVer` of the package.
    pub driver_ver: String,
    /// Place on the PCI bus.
    pub location: Option<Location>,
    /// Where it is in its life.
    pub state: State,
    /// What keeps it from working.
    pub problem: Option<Problem>,
    /// Message interrupts it was given.
    pub messages: usize,
    /// Its register traffic.
    pub traffic: Option<crate::pci::Traffic>,
}

/// What a stack is asked before it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Query {
    /// Whether the device may be stopped.
    Stop,
    /// Whether it may be removed.
    Remove,
}

/// Why a device was not removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoveError {
    /// No such device (any more).
    Unknown,
    /// Files are open on it.
    InUse(usize),
    /// A driver of its stack refused.
    Vetoed(NtStatus),
}

impl core::fmt::Display for RemoveError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Unknown => f.write_str("there is no such device; ask devices() for those that are"),
            Self::InUse(count) => write!(f, "the device has {count} open file(s); close them first"),
            Self::Vetoed(status) => write!(f, "the driver refuses the removal: {status}"),
        }
    }
}

impl core::error::Error for RemoveError {}

impl Kernel {
    /// A PCI function is plugged in: enumerated and, when a staged package serves it, installed and started.
    ///
    /// # Errors
    /// What is wrong with the function.
    pub fn plug(
        &self,
        wanted: Option<Location>,
        function: Box<dyn PciFunction>,
    ) -> Result<DevnodeId, String> {
        let slot = self.plug_function(wanted, function)?;
        let ids = bus::pci_ids(slot.location, &slot.identity);
        let id = self.new_node(ids, Some(slot));
        self.enumerate(id);
        self.configure(id);
        Ok(id)
    }

    /// A root-enumerated device, as `devcon install` makes it.
    pub fn create_root_device(&self, hardware_id: &str) -> DevnodeId {
        let name = hardware_id.rsplit('\\').next().unwrap_or(hardware_id).to_uppercase();
        let number = self.pnp.nodes.with(|nodes| {
            nodes.iter().filter(|node| node.ids.instance.starts_with(&format!(r"ROOT\{name}\"))).count()
        });
        let ids = DeviceIds {
            instance: format!(r"ROOT\{name}\{number:04}"),
            hardware: vec![hardware_id.to_owned()],
            compatible: Vec::new(),
        };
        let id = self.new_node(ids, None);
        self.enumerate(id);
        self.configure(id);
        id
    }

    /// All devices that are there.
    #[must_use]
    pub fn devices(&self) -> Vec<DeviceReport> {
        self.pnp.nodes.with(|nodes| {
            let there = nodes.iter().enumerate().filter(|(_, node)| node.state != State::Gone);
            there.map(|(index, node)| node.report(DevnodeId(index))).collect()
        })
    }

    /// One device.
    #[must_use]
    pub fn device(&self, id: DevnodeId) -> Option<DeviceReport> {
        self.pnp.nodes.with(|nodes| nodes.get(id.0).map(|node| node.report(id)))
    }

    /// The resource requirements of a device as they came back from its stack, filters applied.
    #[must_use]
    pub fn requirements(&self, id: DevnodeId) -> Vec<Vec<Requirement>> {
        self.node(id).map(|node| node.requirements).unwrap_or_default()
    }

    /// The security descriptor (SDDL) that guards a device: the INF's, which is set on the PDO, else the first one that a
    /// driver of the stack assigned (Learn, "Securing Device Objects").
    #[must_use]
    pub fn security(&self, id: DevnodeId) -> Option<String> {
        let node = self.node(id)?;
        let key = format!(r"{}\{}", crate::registry::ENUM, node.ids.instance);
        let installed = self.system.with(|system| system.registry.text(&key, "Security").map(str::to_owned));
        installed.or_else(|| {
            let mut at = node.pdo;
            loop {
                let sddl =
                    self.io.devices.with(|devices| devices.get(&at).and_then(|state| state.sddl.clone()));
                let above: u64 = self.read(at + device::ATTACHED);
                if sddl.is_some() || above == 0 {
                    return sddl;
                }
                at = above;
            }
        })
    }

    /// The device on the PCI bus at `location`.
    #[must_use]
    pub fn device_at_location(&self, location: Location) -> Option<DevnodeId> {
        let at = |node: &Devnode| node.slot.as_ref().is_some_and(|slot| slot.location == location);
        self.pnp
            .nodes
            .with(|nodes| nodes.iter().position(|node| node.state != State::Gone && at(node)).map(DevnodeId))
    }

    /// Lets the arbiter refuse this device from now on (or no longer): it is added but cannot start.
    pub fn starve(&self, id: DevnodeId, starved: bool) {
        self.change_node(id, |node| node.starved = starved);
    }

    /// Message interrupts each function gets at most from now on; zero leaves only the line.
    pub fn limit_messages(&self, limit: Option<u16>) {
        self.pnp.message_limit.with(|current| *current = limit);
    }

    /// The driver objects of the bus drivers, made when first needed.
    fn bus_drivers(&self) -> BusDrivers {
        if let Some(drivers) = self.pnp.drivers.with(|drivers| *drivers) {
            return drivers;
        }
        let pci = self.create_driver_object(r"\Driver\pci", "", None, Some(bus::dispatch));
        let root = self.create_driver_object(r"\Driver\PnpManager", "", None, Some(bus::dispatch));
        let drivers = BusDrivers { pci, root };
        self.pnp.drivers.with(|known| *known = Some(drivers));
        drivers
    }

    /// Makes a devnode with its PDO.
    fn new_node(&self, ids: DeviceIds, slot: Option<Arc<Slot>>) -> DevnodeId {
        let drivers = self.bus_drivers();
        let owner = if slot.is_some() { drivers.pci } else { drivers.root };
        let number = self.pnp.nodes.with(|nodes| nodes.len());
        let name = format!(r"\Device\{}{number:04}", if slot.is_some() { "NTPNP_PCI" } else { "" });
        // FILE_DEVICE_UNKNOWN, FILE_AUTOGENERATED_DEVICE_NAME.
        let pdo = self.create_device(owner, 0, Some(&name), 0x22, 0x80).expect("a fresh device name");
        let flags: u32 = self.read(pdo + device::FLAGS);
        let flags = (flags | device::DO_BUS_ENUMERATED_DEVICE | device::DO_POWER_PAGABLE)
            & !device::DO_DEVICE_INITIALIZING;
        self.write(pdo + device::FLAGS, flags);
        let node = Devnode {
            ids,
            pdo,
            slot,
            state: State::Enumerated,
            problem: Some(Problem::NotInstalled),
            service: String::new(),
            description: String::new(),
            driver_ver: String::new(),
            assignment: None,
            requirements: Vec::new(),
            starved: false,
            power_packets: 0,
            told_gone: false,
        };
        self.pnp.nodes.with(|nodes| {
            nodes.push(node);
            DevnodeId(nodes.len() - 1)
        })
    }

    fn node(&self, id: DevnodeId) -> Option<Devnode> {
        self.pnp.nodes.with(|nodes| nodes.get(id.0).cloned())
    }

    fn change_node(&self, id: DevnodeId, change: impl FnOnce(&mut Devnode)) {
        self.pnp.nodes.with(|nodes| nodes.get_mut(id.0).map(change));
    }

    fn all_nodes(&self) -> Vec<DevnodeId> {
        let there = |nodes: &mut Vec<Devnode>| {
            let there = nodes.iter().enumerate().filter(|(_, node)| node.state != State::Gone);
            there.map(|(index, _)| DevnodeId(index)).collect()
        };
        self.pnp.nodes.with(there)
    }

    /// The devnode of a PDO.
    fn node_of(&self, pdo: u64) -> Option<(DevnodeId, Devnode)> {
        self.pnp.nodes.with(|nodes| {
            let index = nodes.iter().position(|node| node.pdo == pdo && node.state != State::Gone)?;
            Some((DevnodeId(index), nodes.get(index)?.clone()))
        })
    }

    /// The device instance path of a PDO.
    pub(crate) fn instance_of(&self, pdo: u64) -> Option<String> {
        self.node_of(pdo).map(|(_, node)| node.ids.instance)
    }

    /// Devices whose stack has a device object of this driver.
    pub(crate) fn pnp_devices_of(&self, driver: u64) -> usize {
        let pdos: Vec<u64> = self.pnp.nodes.with(|nodes| {
            nodes.iter().filter(|node| node.state != State::Gone).map(|node| node.pdo).collect()
        });
        let own = self.devices_of(driver);
        pdos.into_iter().filter(|pdo| own.iter().any(|device| self.bottom_of_stack(*device) == *pdo)).count()
    }
}

impl Devnode {
    fn report(&self, id: DevnodeId) -> DeviceReport {
        DeviceReport {
            id,
            instance: self.ids.instance.clone(),
            description: self.description.clone(),
            service: self.service.clone(),
            driver_ver: self.driver_ver.clone(),
            location: self.slot.as_ref().map(|slot| slot.location),
            state: self.state,
            problem: self.problem.clone(),
            messages: self.assignment.as_ref().map_or(0, |assignment| assignment.messages.len()),
            traffic: self.slot.as_ref().map(|slot| slot.traffic()),
        }
    }
}
