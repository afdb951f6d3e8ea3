//! A PCI function's configuration space, through the bus driver's interface.
//!
//! Asked for at PASSIVE_LEVEL; read and written at up to DISPATCH_LEVEL ("BUS_INTERFACE_STANDARD").

use core::fmt;

use wdk_sys::{BUS_INTERFACE_STANDARD, GUID, PCI_WHICHSPACE_CONFIG, ULONG, USHORT};

use crate::{Result, Status};

/// GUID_BUS_INTERFACE_STANDARD of wdmguid.h.
pub(crate) const BUS_INTERFACE_STANDARD_GUID: GUID = GUID {
    Data1: 0x496B_8280,
    Data2: 0x6F25,
    Data3: 0x11D0,
    Data4: [0xBE, 0xAF, 0x08, 0x00, 0x2B, 0xE2, 0x09, 0x2F],
};

/// Version of the interface that is asked for (Learn, BUS_INTERFACE_STANDARD).
pub(crate) const BUS_INTERFACE_VERSION: USHORT = 1;

/// The function's configuration space. Callable at DISPATCH_LEVEL and below; dropping gives the interface back.
pub struct Config(BUS_INTERFACE_STANDARD);

// SAFETY: the bus driver's routines may be called from any thread at DISPATCH_LEVEL and below.
unsafe impl Send for Config {}
// SAFETY: as for `Send`; the bus driver serialises.
unsafe impl Sync for Config {}

impl Config {
    /// Takes over an interface that was queried, with the reference that querying counted.
    ///
    /// # Safety
    /// The structure was filled by the bus driver of the device, and nobody else will dereference it.
    pub(crate) const unsafe fn adopt(interface: BUS_INTERFACE_STANDARD) -> Self {
        Self(interface)
    }

    /// Fills `bytes` from `offset` on.
    ///
    /// # Errors
    /// NO_SUCH_DEVICE when the bus driver read fewer bytes: the function, or this part of its space, is not there.
    pub fn read(&self, offset: u32, bytes: &mut [u8]) -> Result {
        let read = self.0.GetBusData.ok_or(Status::NOT_SUPPORTED)?;
        let length = ULONG::try_from(bytes.len()).map_err(|_| Status::INVALID_PARAMETER)?;
        // SAFETY: the routine and its context are the bus driver's, and the buffer has the stated length.
        let done = unsafe {
            read(self.0.Context, PCI_WHICHSPACE_CONFIG as ULONG, bytes.as_mut_ptr().cast(), offset, length)
        };
        if done == length { Ok(()) } else { Err(Status::NO_SUCH_DEVICE) }
    }

    /// Writes `bytes` from `offset` on.
    ///
    /// # Errors
    /// NO_SUCH_DEVICE when the bus driver wrote fewer bytes: the function, or this part of its space, is not there.
    pub fn write(&self, offset: u32, bytes: &[u8]) -> Result {
        let write = self.0.SetBusData.ok_or(Status::NOT_SUPPORTED)?;
        let length = ULONG::try_from(bytes.len()).map_err(|_| Status::INVALID_PARAMETER)?;
        // SAFETY: the routine and its context are the bus driver's; it reads the buffer, which has the stated length.
        let done = unsafe {
            write(
                self.0.Context,
                PCI_WHICHSPACE_CONFIG as ULONG,
                bytes.as_ptr().cast_mut().cast(),
                offset,
                length,
            )
        };
        if done == length { Ok(()) } else { Err(Status::NO_SUCH_DEVICE) }
    }

    /// A 16-bit register.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn read_u16(&self, offset: u32) -> Result<u16> {
        let mut bytes = [0; 2];
        self.read(offset, &mut bytes).map(|()| u16::from_le_bytes(bytes))
    }

    /// A 32-bit register.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn read_u32(&self, offset: u32) -> Result<u32> {
        let mut bytes = [0; 4];
        self.read(offset, &mut bytes).map(|()| u32::from_le_bytes(bytes))
    }

    /// Writes a 16-bit register.
    ///
    /// # Errors
    /// As [`Config::write`].
    pub fn write_u16(&self, offset: u32, value: u16) -> Result {
        self.write(offset, &value.to_le_bytes())
    }

    /// Writes a 32-bit register.
    ///
    /// # Errors
    /// As [`Config::write`].
    pub fn write_u32(&self, offset: u32, value: u32) -> Result {
        self.write(offset, &value.to_le_bytes())
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        if let Some(dereference) = self.0.InterfaceDereference {
            // SAFETY: gives back the one reference that `adopt` took over.
            unsafe { dereference(self.0.Context) };
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Config")
    }
}
