//! Device properties, as IoGetDeviceProperty and the framework ask for them.

use crate::io::layout::status;
use crate::kernel::Kernel;
use crate::registry::{ENUM, Value};

/// DEVICE_REGISTRY_PROPERTY (wdm.h).
const DESCRIPTION: u32 = 0;
const HARDWARE_ID: u32 = 1;
const COMPATIBLE_IDS: u32 = 2;
const CLASS_GUID: u32 = 6;
const DRIVER_KEY: u32 = 7;
const MANUFACTURER: u32 = 8;
const LOCATION: u32 = 10;
const PDO_NAME: u32 = 11;
const LEGACY_BUS_TYPE: u32 = 13;
const BUS_NUMBER: u32 = 14;
const ENUMERATOR: u32 = 15;
const ADDRESS: u32 = 16;

impl Kernel {
    /// The bytes of a property.
    pub(crate) fn property(&self, pdo: u64, property: u32) -> Result<Vec<u8>, i32> {
        let (_, node) = self.node_of(pdo).ok_or(status::INVALID_DEVICE_REQUEST)?;
        let key = format!(r"{ENUM}\{}", node.ids.instance);
        let stored = |name: &str| {
            let value = self.system.with(|system| system.registry.value(&key, name).cloned());
            value.map(|value| value.to_bytes()).ok_or(status::OBJECT_NAME_NOT_FOUND)
        };
        let text = |text: &str| Value::Sz(text.to_owned()).to_bytes();
        let slot = node.slot.as_ref().ok_or(status::OBJECT_NAME_NOT_FOUND);
        match property {
            DESCRIPTION => stored("DeviceDesc"),
            HARDWARE_ID => stored("HardwareID"),
            COMPATIBLE_IDS => stored("CompatibleIDs"),
            CLASS_GUID => stored("ClassGUID"),
            DRIVER_KEY => stored("Driver"),
            MANUFACTURER => stored("Mfg"),
            LOCATION => stored("LocationInformation"),
            PDO_NAME => {
                let name =
                    self.io.devices.with(|devices| devices.get(&pdo).and_then(|state| state.name.clone()));
                name.map(|name| text(&name)).ok_or(status::OBJECT_NAME_NOT_FOUND)
            }
            LEGACY_BUS_TYPE => slot.map(|_| crate::pci::requirements::INTERFACE_PCI.to_le_bytes().to_vec()),
            BUS_NUMBER => slot.map(|slot| u32::from(slot.location.bus).to_le_bytes().to_vec()),
            ENUMERATOR => Ok(text(node.ids.instance.split('\\').next().unwrap_or_default())),
            ADDRESS => slot.map(|slot| {
                let address = u32::from(slot.location.device) << 16 | u32::from(slot.location.function);
                address.to_le_bytes().to_vec()
            }),
            _ => Err(status::INVALID_PARAMETER),
        }
    }

    /// IoGetDeviceProperty: copies a property, or says how much room it needs.
    pub(crate) fn device_property(
        &self,
        pdo: u64,
        property: u32,
        room: u32,
        buffer: u64,
        needed: u64,
    ) -> i32 {
        match self.property(pdo, property) {
            Ok(bytes) => {
                let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                self.write(needed, length);
                if room < length {
                    return status::BUFFER_TOO_SMALL;
                }
                self.write_bytes(buffer, &bytes);
                status::SUCCESS
            }
            Err(error) => error,
        }
    }
}
