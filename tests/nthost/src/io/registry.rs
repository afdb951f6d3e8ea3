//! Registry services: keys as handles.

use std::collections::BTreeMap;

use super::layout::status;
use crate::export::{PASSIVE, exports};
use crate::kernel::Kernel;
use crate::registry::{CLASS, ENUM, Value};

/// Open keys by handle.
#[derive(Debug, Default)]
pub(crate) struct Handles {
    open: BTreeMap<u64, String>,
    next: u64,
}

/// Kernel handles have the high bits set; ours count from here in steps of four, as Windows' do.
const FIRST_HANDLE: u64 = 0xFFFF_FFFF_8000_1000;

/// KEY_VALUE_INFORMATION_CLASS.
const KEY_VALUE_BASIC: u32 = 0;
const KEY_VALUE_FULL: u32 = 1;
const KEY_VALUE_PARTIAL: u32 = 2;

impl Kernel {
    /// A handle of the key at `path`, or a status when it does not exist.
    pub(crate) fn open_key(&self, path: &str, create: bool) -> Result<u64, i32> {
        let exists = self.system.with(|system| {
            if create {
                system.registry.create(path);
            }
            system.registry.key(path).is_some()
        });
        if !exists {
            return Err(status::OBJECT_NAME_NOT_FOUND);
        }
        Ok(self.io.keys.with(|keys| {
            let handle = FIRST_HANDLE + keys.next;
            keys.next += 4;
            keys.open.insert(handle, path.to_owned());
            handle
        }))
    }

    /// The path behind a handle.
    pub(crate) fn key_path(&self, handle: u64) -> Result<String, i32> {
        self.io.keys.with(|keys| keys.open.get(&handle).cloned()).ok_or(status::INVALID_HANDLE)
    }

    /// Closes a key; false when the handle is none of a key.
    pub(crate) fn close_key(&self, handle: u64) -> bool {
        self.io.keys.with(|keys| keys.open.remove(&handle).is_some())
    }

    /// Keys that are open, for the report of what was left behind.
    pub(crate) fn open_keys(&self) -> Vec<String> {
        self.io.keys.with(|keys| keys.open.values().cloned().collect())
    }

    /// Writes a value and its type as a query function does: (status, bytes needed).
    pub(crate) fn registry_value(&self, path: &str, name: &str) -> Option<Value> {
        self.system.with(|system| system.registry.value(path, name).cloned())
    }

    /// Opens what an OBJECT_ATTRIBUTES (RootDirectory 8, ObjectName 0x10) names.
    fn open_object_attributes(&self, attributes: u64, create: bool) -> Result<(u64, bool), i32> {
        if self.read::<u32>(attributes) != 0x30 {
            return Err(status::INVALID_PARAMETER);
        }
        let root: u64 = self.read(attributes + 8);
        let name = self.unicode_string(self.read(attributes + 0x10));
        let path = if root == 0 { name } else { format!(r"{}\{name}", self.key_path(root)?) };
        let existed = self.system.with(|system| system.registry.key(&path).is_some());
        Ok((self.open_key(&path, create)?, !existed))
    }

    /// ZwQueryValueKey on a path.
    fn query_value(
        &self,
        handle: u64,
        name: u64,
        class: u32,
        buffer: u64,
        room: u32,
    ) -> Result<(i32, u32), i32> {
        let path = self.key_path(handle)?;
        let name = self.unicode_string(name);
        let value = self.registry_value(&path, &name).ok_or(status::OBJECT_NAME_NOT_FOUND)?;
        let data = value.to_bytes();
        let wide: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
        let mut out: Vec<u8> = 0_u32.to_le_bytes().to_vec();
        out.extend(value.kind().to_le_bytes());
        let fixed = match class {
            KEY_VALUE_BASIC => {
                out.extend(number(wide.len()));
                out.extend(&wide);
                12
            }
            KEY_VALUE_FULL => {
                let offset = (20 + wide.len()).next_multiple_of(4);
                out.extend(number(offset));
                out.extend(number(data.len()));
                out.extend(number(wide.len()));
                out.extend(&wide);
                out.resize(offset, 0);
                out.extend(&data);
                20
            }
            KEY_VALUE_PARTIAL => {
                out.extend(number(data.len()));
                out.extend(&data);
                12
            }
            _ => return Err(status::INVALID_PARAMETER),
        };
        let needed = u32::try_from(out.len()).unwrap_or(u32::MAX);
        let room = usize::try_from(room).unwrap_or(0);
        let result = match room {
            room if room < fixed => status::BUFFER_TOO_SMALL,
            room if room < out.len() => status::BUFFER_OVERFLOW,
            _ => status::SUCCESS,
        };
        if result != status::BUFFER_TOO_SMALL {
            self.write_bytes(buffer, out.get(..room.min(out.len())).unwrap_or_default());
        }
        Ok((result, needed))
    }

    /// The path of a device's key: 1 hardware (`Device Parameters`), 2 software (IoOpenDeviceRegistryKey).
    pub(crate) fn device_key(&self, instance: &str, kind: u32) -> Option<String> {
        let key = format!(r"{ENUM}\{instance}");
        if kind & 2 == 0 {
            return Some(format!(r"{key}\Device Parameters"));
        }
        let driver = self.system.with(|system| system.registry.text(&key, "Driver").map(str::to_owned))?;
        Some(format!(r"{CLASS}\{driver}"))
    }
}

exports! {
    module "ntoskrnl.exe";

    /// Opens a key.
    fn ZwOpenKey(k; handle: u64, _access: u32, attributes: u64) -> i32 [PASSIVE, "Learn, ZwOpenKey: PASSIVE_LEVEL"] {
        if k.allocation_fails() {
            return status::INSUFFICIENT_RESOURCES;
        }
        match k.open_object_attributes(attributes, false) {
            Ok((key, _)) => {
                k.write(handle, key);
                status::SUCCESS
            }
            Err(error) => error,
        }
    }

    /// Opens a key, made where it is missing.
    fn ZwCreateKey(k; handle: u64, _access: u32, attributes: u64, _title: u32, _class: u64, _options: u32, disposition: u64)
        -> i32 [PASSIVE, "Learn, ZwCreateKey: PASSIVE_LEVEL"]
    {
        match k.open_object_attributes(attributes, true) {
            Ok((key, created)) => {
                k.write(handle, key);
                if disposition != 0 {
                    // REG_CREATED_NEW_KEY, REG_OPENED_EXISTING_KEY.
                    k.write(disposition, if created { 1_u32 } else { 2_u32 });
                }
                status::SUCCESS
            }
            Err(error) => error,
        }
    }

    /// Reads a value.
    fn ZwQueryValueKey(k; handle: u64, name: u64, class: u32, buffer: u64, room: u32, needed: u64)
        -> i32 [PASSIVE, "Learn, ZwQueryValueKey: PASSIVE_LEVEL"]
    {
        match k.query_value(handle, name, class, buffer, room) {
            Ok((result, length)) => {
                k.write(needed, length);
                result
            }
            Err(error) => error,
        }
    }

    /// Writes a value.
    fn ZwSetValueKey(k; handle: u64, name: u64, _title: u32, kind: u32, data: u64, length: u32)
        -> i32 [PASSIVE, "Learn, ZwSetValueKey: PASSIVE_LEVEL"]
    {
        match k.key_path(handle) {
            Ok(path) => {
                let name = k.unicode_string(name);
                let bytes = k.bytes(data, usize::try_from(length).unwrap_or(0));
                k.system.with(|system| system.registry.set(&path, &name, Value::from_bytes(kind, &bytes)));
                status::SUCCESS
            }
            Err(error) => error,
        }
    }

    /// Removes a value.
    fn ZwDeleteValueKey(k; handle: u64, name: u64) -> i32 [PASSIVE, "Learn, ZwDeleteValueKey: PASSIVE_LEVEL"] {
        match k.key_path(handle) {
            Ok(path) => {
                let name = k.unicode_string(name);
                let known = k.system.with(|system| system.registry.remove_value(&path, &name));
                if known { status::SUCCESS } else { status::OBJECT_NAME_NOT_FOUND }
            }
            Err(error) => error,
        }
    }
}
