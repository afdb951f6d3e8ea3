//! Device interfaces and symbolic links: how a device is found by name.

use std::collections::BTreeMap;

use super::layout::status;
use crate::kernel::Kernel;
use crate::registry::{DEVICE_CLASSES, Value};

/// A GUID in the order of its text form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Guid {
    /// First group.
    pub data1: u32,
    /// Second group.
    pub data2: u16,
    /// Third group.
    pub data3: u16,
    /// The rest.
    pub data4: [u8; 8],
}

impl Guid {
    /// Reads the sixteen bytes of a GUID structure.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, rest @ ..] = bytes;
        Self {
            data1: u32::from_le_bytes([a, b, c, d]),
            data2: u16::from_le_bytes([e, f]),
            data3: u16::from_le_bytes([g, h]),
            data4: rest,
        }
    }

    /// The sixteen bytes of the structure.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&self.data1.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.data2.to_le_bytes());
        bytes[6..8].copy_from_slice(&self.data3.to_le_bytes());
        bytes[8..].copy_from_slice(&self.data4);
        bytes
    }
}

impl core::fmt::Display for Guid {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let [a, b, rest @ ..] = self.data4;
        write!(f, "{{{:08x}-{:04x}-{:04x}-{a:02x}{b:02x}-", self.data1, self.data2, self.data3)?;
        rest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("}")
    }
}

/// Registered interfaces and links.
#[derive(Debug, Default)]
pub(crate) struct Interfaces {
    interfaces: BTreeMap<(Guid, u64, String), Interface>,
    links: BTreeMap<String, u64>,
}

/// One interface of one device.
#[derive(Debug, Clone)]
struct Interface {
    link: String,
    enabled: bool,
}

impl Kernel {
    /// IoRegisterDeviceInterface: returns the symbolic link's name.
    pub(crate) fn register_interface(&self, pdo: u64, class: Guid, reference: &str) -> Result<String, i32> {
        let instance = self.instance_of(pdo).ok_or(status::INVALID_DEVICE_REQUEST)?;
        // `\??\` + instance with # for \ + class + optional reference (Learn, IoRegisterDeviceInterface).
        let mut link = format!(r"\??\{}#{class}", instance.replace('\\', "#"));
        if !reference.is_empty() {
            link = format!(r"{link}\{reference}");
        }
        let key = format!(r"{DEVICE_CLASSES}\{class}\{}", link.replace('\\', "#"));
        self.system.with(|system| system.registry.set(&key, "DeviceInstance", Value::Sz(instance)));
        self.io.interfaces.with(|known| {
            let key = (class, pdo, reference.to_owned());
            known.interfaces.entry(key).or_insert(Interface { link: link.clone(), enabled: false });
        });
        Ok(link)
    }

    /// IoSetDeviceInterfaceState by class, device and reference string.
    pub(crate) fn enable_interface(&self, pdo: u64, class: Guid, reference: &str, enabled: bool) -> i32 {
        let known = self.io.interfaces.with(|known| {
            let interface = known.interfaces.get_mut(&(class, pdo, reference.to_owned()))?;
            let before = core::mem::replace(&mut interface.enabled, enabled);
            Some((before, interface.link.clone()))
        });
        match known {
            None => status::OBJECT_NAME_NOT_FOUND,
            // Learn, IoSetDeviceInterfaceState: enabling twice is a collision, disabling twice is not found.
            Some((true, _)) if enabled => status::OBJECT_NAME_COLLISION,
            Some((false, _)) if !enabled => status::OBJECT_NAME_NOT_FOUND,
            Some((_, link)) => {
                self.record(format!("interface {link} {}", if enabled { "on" } else { "off" }), 0);
                status::SUCCESS
            }
        }
    }

    /// The same by the link's name, as a WDM driver does it.
    pub(crate) fn enable_interface_link(&self, link: &str, enabled: bool) -> i32 {
        let found = self.io.interfaces.with(|known| {
            let mut all = known.interfaces.iter();
            all.find(|(_, interface)| interface.link.eq_ignore_ascii_case(link)).map(|(key, _)| key.clone())
        });
        match found {
            Some((class, pdo, reference)) => self.enable_interface(pdo, class, &reference, enabled),
            None => status::OBJECT_NAME_NOT_FOUND,
        }
    }

    /// The devices that offer an interface now: PDO and link, in the order of their instances.
    pub(crate) fn enabled_interfaces(&self, class: Guid) -> Vec<(u64, String)> {
        let mut found: Vec<(u64, String)> = self.io.interfaces.with(|known| {
            let enabled =
                known.interfaces.iter().filter(|((of, _, _), interface)| *of == class && interface.enabled);
            enabled.map(|((_, pdo, _), interface)| (*pdo, interface.link.clone())).collect()
        });
        found.sort_by(|left, right| left.1.cmp(&right.1));
        found
    }

    /// A device is gone: its interfaces go with it. Returns those that were still on.
    pub(crate) fn forget_interfaces(&self, pdo: u64) -> Vec<String> {
        self.io.interfaces.with(|known| {
            let left =
                known.interfaces.iter().filter(|((_, of, _), interface)| *of == pdo && interface.enabled);
            let left = left.map(|(_, interface)| interface.link.clone()).collect();
            known.interfaces.retain(|(_, of, _), _| *of != pdo);
            left
        })
    }

    /// IoCreateSymbolicLink, with the device object as the target.
    pub(crate) fn create_link(&self, link: &str, target: u64) -> i32 {
        let link = link_key(link);
        self.io.interfaces.with(|known| {
            if known.links.contains_key(&link) {
                return status::OBJECT_NAME_COLLISION;
            }
            known.links.insert(link, target);
            status::SUCCESS
        })
    }

    /// IoDeleteSymbolicLink.
    pub(crate) fn delete_link(&self, link: &str) -> i32 {
        let known = self.io.interfaces.with(|known| known.links.remove(&link_key(link)).is_some());
        if known { status::SUCCESS } else { status::OBJECT_NAME_NOT_FOUND }
    }

    /// The device object that a path means: a device name, a link, an enabled interface.
    pub(crate) fn device_at(&self, path: &str) -> Option<u64> {
        let named = self.io.devices.with(|devices| {
            let mut all = devices.iter();
            let same = |name: &str| name.eq_ignore_ascii_case(path);
            all.find(|(_, state)| state.name.as_deref().is_some_and(same)).map(|(device, _)| *device)
        });
        named.or_else(|| {
            self.io.interfaces.with(|known| {
                let linked = known.links.get(&link_key(path)).copied();
                linked.or_else(|| {
                    let mut enabled = known.interfaces.iter().filter(|(_, interface)| interface.enabled);
                    let same = |interface: &Interface| link_key(&interface.link) == link_key(path);
                    enabled.find(|(_, interface)| same(interface)).map(|((_, pdo, _), _)| *pdo)
                })
            })
        })
    }
}

/// `\DosDevices\x`, `\??\x` and `\\.\x` are one name.
fn link_key(link: &str) -> String {
    let lower = link.to_lowercase();
    let bare = [r"\dosdevices\global\", r"\dosdevices\", r"\??\global\", r"\??\", r"\\.\", r"\\?\"];
    let bare = bare.iter().find_map(|prefix| lower.strip_prefix(prefix));
    bare.map_or_else(|| lower.clone(), str::to_owned)
}
