//! The bus drivers: what the PDOs of PCI functions and of root-enumerated devices answer.

use super::{Devnode, State};
use crate::export::{DISPATCH, Export, exports};
use crate::install::DeviceIds;
use crate::io::layout::{irp, major, pnp, power, status};
use crate::kernel::Kernel;
use crate::memory::pool::PoolRequest;
use crate::pci::Location;
use crate::pci::config::Identity;
use crate::pci::requirements::{encode_requirements, requirements};
use crate::registry::{ENUM, Value};
use crate::stop::{Fault, bugcheck};

/// GUID_BUS_INTERFACE_STANDARD (wdmguid.h).
const BUS_INTERFACE_STANDARD: &str = "{496b8280-6f25-11d0-beaf-08002be2092f}";
/// sizeof(BUS_INTERFACE_STANDARD).
const BUS_INTERFACE_SIZE: u16 = 0x40;
/// PCI_WHICHSPACE_CONFIG.
const CONFIG_SPACE: u32 = 0;

/// The functions of the bus interface, callable from drivers.
pub(crate) fn tables() -> &'static [&'static Export] {
    EXPORTS
}

/// The ids of a PCI function, most specific first (Learn, "Identifiers for PCI Devices").
pub(super) fn pci_ids(location: Location, identity: &Identity) -> DeviceIds {
    let Identity { vendor, device, revision, class, subsystem } = *identity;
    let base = format!(r"PCI\VEN_{vendor:04X}&DEV_{device:04X}");
    let (class, short) = (format!("{class:06X}"), format!("{:04X}", class >> 8));
    let full = format!("{base}&SUBSYS_{subsystem:08X}&REV_{revision:02X}");
    let place = location.device << 3 | location.function;
    DeviceIds {
        instance: format!(r"{full}\3&11583659&{}&{place:02X}", location.bus),
        hardware: vec![
            full,
            format!("{base}&SUBSYS_{subsystem:08X}"),
            format!("{base}&CC_{class}"),
            format!("{base}&CC_{short}"),
        ],
        compatible: vec![
            format!("{base}&REV_{revision:02X}"),
            base,
            format!(r"PCI\VEN_{vendor:04X}&CC_{class}"),
            format!(r"PCI\VEN_{vendor:04X}&CC_{short}"),
            format!(r"PCI\VEN_{vendor:04X}"),
            format!(r"PCI\CC_{class}"),
            format!(r"PCI\CC_{short}"),
        ],
    }
}

/// The dispatch routine of both bus drivers.
pub(super) fn dispatch(k: &Kernel, pdo: u64, packet: u64) -> i32 {
    let (function, minor) = k.irp_function(packet);
    let Some((_, node)) = k.node_of(pdo) else { return k.finish_irp(packet, status::NO_SUCH_DEVICE, 0) };
    match function {
        major::PNP => pnp_request(k, &node, packet, minor),
        major::POWER => {
            // Parameters.Power: Type in the second parameter (1: DevicePowerState), State in the third.
            let (kind, state) = (k.irp_parameter(packet, 1) & 0xFFFF_FFFF, k.irp_parameter(packet, 2) & 0xF);
            if let (Some(slot), power::SET_POWER, 1) = (&node.slot, minor, kind) {
                match (state, &node.assignment) {
                    (1, Some(assignment)) => k.power_up_function(slot, assignment),
                    _ => slot.set_power(u8::try_from(state).unwrap_or(4).saturating_sub(1)),
                }
            }
            k.finish_irp(packet, status::SUCCESS, 0)
        }
        _ => k.finish_irp(packet, status::INVALID_DEVICE_REQUEST, 0),
    }
}

fn pnp_request(k: &Kernel, node: &Devnode, packet: u64, minor: u8) -> i32 {
    let unchanged = || {
        let result: i32 = k.read(packet + irp::STATUS);
        let information: u64 = k.read(packet + irp::INFORMATION);
        k.finish_irp(packet, result, information)
    };
    match minor {
        pnp::START_DEVICE => {
            if let (Some(slot), Some(assignment)) = (&node.slot, &node.assignment) {
                if !slot.present() {
                    return k.finish_irp(packet, status::NO_SUCH_DEVICE, 0);
                }
                k.power_up_function(slot, assignment);
            }
            k.finish_irp(packet, status::SUCCESS, 0)
        }
        pnp::STOP_DEVICE | pnp::REMOVE_DEVICE => {
            if let (Some(slot), State::Started | State::Stopped | State::SurpriseRemoved) =
                (&node.slot, node.state)
            {
                k.power_down_function(slot);
            }
            k.finish_irp(packet, status::SUCCESS, 0)
        }
        pnp::QUERY_REMOVE_DEVICE
        | pnp::CANCEL_REMOVE_DEVICE
        | pnp::QUERY_STOP_DEVICE
        | pnp::CANCEL_STOP_DEVICE
        | pnp::SURPRISE_REMOVAL => k.finish_irp(packet, status::SUCCESS, 0),
        pnp::QUERY_RESOURCE_REQUIREMENTS => match &node.slot {
            Some(_) => match requirements_list(k, node) {
                Some(list) => k.finish_irp(packet, status::SUCCESS, list),
                None => k.finish_irp(packet, status::INSUFFICIENT_RESOURCES, 0),
            },
            None => unchanged(),
        },
        pnp::QUERY_INTERFACE => query_interface(k, node, packet),
        pnp::QUERY_CAPABILITIES => {
            let capabilities = k.irp_parameter(packet, 0);
            fill_capabilities(k, node, capabilities);
            k.finish_irp(packet, status::SUCCESS, 0)
        }
        _ => unchanged(),
    }
}

/// The IO_RESOURCE_REQUIREMENTS_LIST of a function, in pool: whoever gets it owns it.
fn requirements_list(k: &Kernel, node: &Devnode) -> Option<u64> {
    let slot = node.slot.as_ref()?;
    let management = format!(r"{ENUM}\{}\Device Parameters\Interrupt Management", node.ids.instance);
    let properties = format!(r"{management}\MessageSignaledInterruptProperties");
    let number = |name: &str| k.system.with(|system| system.registry.dword(&properties, name));
    let allowed = number("MSISupported") == Some(1);
    let limit = number("MessageNumberLimit").and_then(|limit| u16::try_from(limit).ok());
    let mut lists = requirements(&slot.bars, slot.messages, slot.pin, allowed, limit);
    if let Some((policy, priority, targets)) = registry_policy(k, &format!(r"{management}\Affinity Policy")) {
        lists
            .iter_mut()
            .flatten()
            .for_each(|requirement| requirement.include_policy(policy, priority, targets));
    }
    let place = u32::from(slot.location.device) | u32::from(slot.location.function) << 5;
    let bytes = encode_requirements(u32::from(slot.location.bus), place, &lists);
    let size = u64::try_from(bytes.len()).ok()?;
    let pool = PoolRequest { size, tag: u32::from_le_bytes(*b"PciR"), nonpaged: false, zero: true };
    let list = k.pool_allocate(pool)?;
    k.write_bytes(list, &bytes);
    Some(list)
}

/// The affinity policy an administrator wrote for the device: DevicePolicy, DevicePriority, AssignmentSetOverride
/// (Learn, "Interrupt Affinity and Priority").
fn registry_policy(k: &Kernel, key: &str) -> Option<(u16, u32, u64)> {
    k.system.with(|system| {
        let policy = u16::try_from(system.registry.dword(key, "DevicePolicy")?).ok()?;
        let priority = system.registry.dword(key, "DevicePriority").unwrap_or(0);
        let targets = match system.registry.value(key, "AssignmentSetOverride") {
            Some(Value::Binary(bytes)) => {
                bytes.iter().rev().fold(0, |mask, byte| mask << 8 | u64::from(*byte))
            }
            Some(Value::Qword(mask)) => *mask,
            Some(Value::Dword(mask)) => u64::from(*mask),
            _ => 0,
        };
        Some((policy, priority, targets))
    })
}

/// DEVICE_CAPABILITIES: size 0, version 2, flags 4, address 8, UI number 0xC, D-states of S-states 0x10 (wdm.h).
fn fill_capabilities(k: &Kernel, node: &Devnode, at: u64) {
    if let Some(slot) = &node.slot {
        k.write(at + 8, u32::from(slot.location.device) << 16 | u32::from(slot.location.function));
    }
    // Working is D0, every sleeping state is D3 (PowerDeviceD0 is 1, PowerDeviceD3 is 4).
    for (state, value) in (0..).zip([0_u32, 1, 4, 4, 4, 4, 4]) {
        k.write(at + 0x10 + 4 * state, value);
    }
}

/// Answers the bus interface of PCI functions.
fn query_interface(k: &Kernel, node: &Devnode, packet: u64) -> i32 {
    let wanted = crate::io::guid(k, k.irp_parameter(packet, 0)).to_string();
    let [size, version, ..] =
        [0, 16].map(|shift| u16::try_from(k.irp_parameter(packet, 1) >> shift & 0xFFFF).unwrap_or(0));
    let target = k.irp_parameter(packet, 2);
    let Some(slot) = node.slot.as_ref().filter(|_| wanted == BUS_INTERFACE_STANDARD) else {
        let result: i32 = k.read(packet + irp::STATUS);
        return k.finish_irp(packet, result, 0);
    };
    if size < BUS_INTERFACE_SIZE {
        return k.finish_irp(packet, status::INVALID_PARAMETER, 0);
    }
    let thunk = |export: &'static Export| k.export_address(export);
    k.write(target, BUS_INTERFACE_SIZE);
    k.write(target + 2, version.min(1));
    k.write(target + 8, context_of(slot.location));
    k.write(target + 0x10, thunk(&InterfaceReference::EXPORT));
    k.write(target + 0x18, thunk(&InterfaceDereference::EXPORT));
    k.write(target + 0x20, 0_u64);
    k.write(target + 0x28, 0_u64);
    k.write(target + 0x30, thunk(&SetBusData::EXPORT));
    k.write(target + 0x38, thunk(&GetBusData::EXPORT));
    // Querying counts a reference, which the querier gives back (Learn, IRP_MN_QUERY_INTERFACE).
    k.count_interface(context_of(slot.location), true);
    k.finish_irp(packet, status::SUCCESS, 0)
}

/// The interface's context: the function's place, marked so that another value is noticed.
fn context_of(location: Location) -> u64 {
    0x5043_4900_0000_0000
        | u64::from(location.bus) << 16
        | u64::from(location.device) << 8
        | u64::from(location.function)
}

fn location_of(context: u64) -> Option<Location> {
    let [function, device, bus, ..] = context.to_le_bytes();
    let location = Location { bus, device, function };
    (context_of(location) == context).then_some(location)
}

/// Reads or writes `length` bytes of configuration space; returns how many were done.
fn access(k: &Kernel, context: u64, space: u32, buffer: u64, offset: u32, length: u32, write: bool) -> u32 {
    let slot = location_of(context).and_then(|location| k.function_at(location));
    let Some(slot) = slot.filter(|slot| slot.present() && space == CONFIG_SPACE) else { return 0 };
    let end = offset.saturating_add(length).min(0x1000);
    let mut at = offset;
    while at < end {
        // The widest naturally aligned access that fits, as the bus driver does it.
        let width: u32 =
            [4, 2, 1].into_iter().find(|width| at.is_multiple_of(*width) && end - at >= *width).unwrap_or(1);
        let place = u16::try_from(at).unwrap_or(0xFFF);
        let bytes = u8::try_from(width).unwrap_or(1);
        let memory = buffer + u64::from(at - offset);
        let whole = usize::try_from(width).unwrap_or(1);
        if write {
            let mut value = [0; 4];
            value[..whole].copy_from_slice(&k.bytes(memory, whole));
            slot.config_write(place, bytes, u32::from_le_bytes(value));
        } else {
            let value = slot.config_read(place, bytes).to_le_bytes();
            k.write_bytes(memory, &value[..whole]);
        }
        at += width;
    }
    at.saturating_sub(offset)
}

impl Kernel {
    /// Counts a reference to a bus interface, or takes it back.
    fn count_interface(&self, context: u64, up: bool) {
        let left = self.pnp.interfaces.with(|counts| {
            let count = counts.entry(context).or_insert(0);
            *count += if up { 1 } else { -1 };
            *count
        });
        if left < 0 {
            self.stop(
                Fault::new("InterfaceReference", bugcheck::REFERENCE_BY_POINTER)
                    .text("a bus interface is dereferenced more often than it was referenced")
                    .parameter(context, "context of the interface"),
            );
        }
    }

    /// References to bus interfaces that were not given back.
    pub(crate) fn interface_references(&self) -> i64 {
        self.pnp.interfaces.with(|counts| counts.values().sum())
    }
}

exports! {
    module "pci.sys";

    /// BUS_INTERFACE_STANDARD.GetBusData.
    fn GetBusData(k; context: u64, space: u32, buffer: u64, offset: u32, length: u32) -> u32
        [DISPATCH, "Learn, GetBusData of BUS_INTERFACE_STANDARD: <= DISPATCH_LEVEL"]
    {
        access(k, context, space, buffer, offset, length, false)
    }

    /// BUS_INTERFACE_STANDARD.SetBusData.
    fn SetBusData(k; context: u64, space: u32, buffer: u64, offset: u32, length: u32) -> u32
        [DISPATCH, "Learn, SetBusData of BUS_INTERFACE_STANDARD: <= DISPATCH_LEVEL"]
    {
        access(k, context, space, buffer, offset, length, true)
    }

    /// INTERFACE.InterfaceReference.
    fn InterfaceReference(k; context: u64) [DISPATCH, "Learn, INTERFACE: <= DISPATCH_LEVEL"] {
        k.count_interface(context, true);
    }

    /// INTERFACE.InterfaceDereference.
    fn InterfaceDereference(k; context: u64) [DISPATCH, "Learn, INTERFACE: <= DISPATCH_LEVEL"] {
        k.count_interface(context, false);
    }
}
