//! Settings: values of a registry key.

use core::fmt;
use core::mem::offset_of;
use core::ptr;

use wdk_sys::ntddk::{IoOpenDeviceRegistryKey, ZwClose, ZwOpenKey, ZwQueryValueKey};
use wdk_sys::{
    _KEY_VALUE_INFORMATION_CLASS, HANDLE, KEY_READ, KEY_VALUE_PARTIAL_INFORMATION, OBJ_CASE_INSENSITIVE,
    OBJ_KERNEL_HANDLE, OBJECT_ATTRIBUTES, PLUGPLAY_REGKEY_DEVICE, REG_DWORD, ULONG,
};

use crate::irql::Passive;
use crate::object;
use crate::string::Wide;
use crate::{Result, Status};

/// An open key. Used and dropped at PASSIVE_LEVEL.
pub struct Key(HANDLE);

impl Key {
    /// Opens `path`, which begins with `\Registry\`, for reading.
    ///
    /// # Errors
    /// OBJECT_NAME_NOT_FOUND when there is no such key.
    pub fn open(path: Wide<'_>, _irql: &Passive) -> Result<Self> {
        Self::open_below(ptr::null_mut(), path)
    }

    /// Opens the key `name` below this one, for reading.
    ///
    /// # Errors
    /// OBJECT_NAME_NOT_FOUND when there is no such key.
    pub fn subkey(&self, name: Wide<'_>, _irql: &Passive) -> Result<Self> {
        Self::open_below(self.0, name)
    }

    /// Opens the key of a device for the values that its INF writes in the hardware section ("Device Parameters").
    ///
    /// # Errors
    /// What the system reports: the device is not one that it has enumerated, or has left.
    pub fn of_device(pdo: &object::Device, _irql: &Passive) -> Result<Self> {
        let mut key: HANDLE = ptr::null_mut();
        // SAFETY: the device object is alive by its reference, the place is a local, and the token gives the level.
        Status::check(unsafe {
            IoOpenDeviceRegistryKey(pdo.as_ptr(), PLUGPLAY_REGKEY_DEVICE, KEY_READ, &mut key)
        })?;
        Ok(Self(key))
    }

    fn open_below(root: HANDLE, path: Wide<'_>) -> Result<Self> {
        let mut attributes = OBJECT_ATTRIBUTES {
            Length: size_of::<OBJECT_ATTRIBUTES>() as ULONG,
            RootDirectory: root,
            ObjectName: path.as_ptr(),
            Attributes: OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE,
            ..OBJECT_ATTRIBUTES::default()
        };
        let mut key: HANDLE = ptr::null_mut();
        // SAFETY: the pointers are to locals; the public callers hold a token for PASSIVE_LEVEL.
        Status::check(unsafe { ZwOpenKey(&mut key, KEY_READ, &mut attributes) })?;
        Ok(Self(key))
    }

    /// The REG_DWORD value `name`.
    ///
    /// # Errors
    /// OBJECT_NAME_NOT_FOUND when there is no such value, OBJECT_TYPE_MISMATCH when it is no REG_DWORD.
    pub fn dword(&self, name: Wide<'_>, _irql: &Passive) -> Result<u32> {
        // The structure ends with the first byte of the data, which for a REG_DWORD is all that fits.
        let mut answer = KEY_VALUE_PARTIAL_INFORMATION::default();
        const ROOM: usize = offset_of!(KEY_VALUE_PARTIAL_INFORMATION, Data) + size_of::<u32>();
        const { assert!(ROOM <= size_of::<KEY_VALUE_PARTIAL_INFORMATION>()) };
        let mut length: ULONG = 0;
        // SAFETY: the key is open, the answer has the stated room, and the token gives the level the function demands.
        let status = unsafe {
            ZwQueryValueKey(
                self.0,
                name.as_ptr(),
                _KEY_VALUE_INFORMATION_CLASS::KeyValuePartialInformation,
                (&raw mut answer).cast(),
                ROOM as ULONG,
                &mut length,
            )
        };
        match Status::check(status) {
            // Longer than a REG_DWORD.
            Err(Status::BUFFER_OVERFLOW) => return Err(Status::OBJECT_TYPE_MISMATCH),
            other => other?,
        }
        if answer.Type != REG_DWORD || answer.DataLength as usize != size_of::<u32>() {
            return Err(Status::OBJECT_TYPE_MISMATCH);
        }
        // SAFETY: the room behind `Data` is part of the structure, and the function has written four bytes there.
        Ok(unsafe { (&raw const answer.Data).cast::<u32>().read_unaligned() })
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: the handle was opened by `open_below` and is not used again.
        let _closed = unsafe { ZwClose(self.0) };
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}
