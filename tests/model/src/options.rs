//! What an engine is: chosen once, before power-on.

use std::fmt;

use ioat_regs::{Capability, Device, Version, device::Function, limits};

use crate::{faults::FaultPlan, timing::Timing};

/// Identity and variations of one function. Start from [`Options::new`] and change fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The row of the device table that the function plays.
    pub device: &'static Device,
    /// PCI function number, 0 to 7; decides the interrupt pin and which error registers exist.
    pub function: u8,
    /// The device has other functions beside this one.
    pub multifunction: bool,
    /// CBVER. Differs from the platform's only for 8086:2021, which was seen as 3.3 and is treated as 3.2.
    pub version: Version,
    /// CHANCNT, 1 to 4. On 3.x more than one is no real product.
    pub channels: u8,
    /// XFERCAP: log2 of the most bytes per descriptor.
    pub xfercap: u8,
    /// DMACAPABILITY. The model executes fill, XOR and PQ.
    pub capability: Capability,
    /// INTRDELAY works: bit 15 reads one, and interrupts keep the distance asked for.
    pub coalescing: bool,
    /// CHANCMP survives a channel reset of 2.0 and later (M18).
    pub reset_keeps_completion_address: bool,
    /// D3hot loses the registers, and the power capability says so. Drivers must cope with either (§4.13).
    pub d3_loses_state: bool,
    /// Revision id.
    pub revision: u8,
    /// How long things take.
    pub timing: Timing,
    /// What goes wrong.
    pub faults: FaultPlan,
}

/// Why an engine cannot be as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadOptions {
    /// The id is not in the device table.
    UnknownDevice {
        /// Vendor id asked for.
        vendor: u16,
        /// Device id asked for.
        device: u16,
    },
    /// The engine of this id has no such function.
    NoSuchFunction {
        /// Function asked for.
        function: u8,
        /// Functions there are.
        functions: u8,
    },
    /// CHANCNT outside 1 to 4.
    Channels(u8),
    /// XFERCAP outside 12 to 31.
    TransferCapability(u8),
    /// Capabilities that the model does not execute.
    Capability(Capability),
    /// The version is not one that the id may report.
    Version(Version),
}

impl Options {
    /// The id's own function (function 0 when all share the id) as its platform has it, without delays or faults.
    ///
    /// # Errors
    /// [`BadOptions::UnknownDevice`].
    pub fn new(vendor: u16, device: u16) -> Result<Self, BadOptions> {
        let device = Device::find(vendor, device).ok_or(BadOptions::UnknownDevice { vendor, device })?;
        let platform = device.platform;
        Ok(Self {
            device,
            function: match device.function {
                Function::Only(number) | Function::Raid(number) => number,
                Function::Any => 0,
            },
            multifunction: platform.functions > 1,
            version: platform.version,
            channels: platform.channels,
            xfercap: limits::XFERCAP,
            capability: platform.capability,
            coalescing: false,
            reset_keeps_completion_address: false,
            d3_loses_state: false,
            revision: 0x04,
            timing: Timing::default(),
            faults: FaultPlan::default(),
        })
    }

    /// The options of function `number` of the engine whose function 0 has this id: the same id where all
    /// functions share it, the right one of the table where each has its own.
    ///
    /// # Errors
    /// [`BadOptions::UnknownDevice`], [`BadOptions::NoSuchFunction`].
    pub fn function_of(vendor: u16, device: u16, number: u8) -> Result<Self, BadOptions> {
        let first = Self::new(vendor, device)?;
        let platform = first.device.platform;
        if number >= platform.functions {
            return Err(BadOptions::NoSuchFunction { function: number, functions: platform.functions });
        }
        if first.device.function == Function::Any {
            return Ok(Self { function: number, ..first });
        }
        let row = ioat_regs::device::DEVICES
            .iter()
            .find(|row| row.platform == platform && row.function == Function::Only(number))
            .ok_or(BadOptions::NoSuchFunction { function: number, functions: platform.functions })?;
        Self::new(row.vendor, row.device)
    }

    pub(crate) fn check(&self) -> Result<(), BadOptions> {
        let executed = Capability::new().with_page_break(true).with_fill(true).with_xor(true).with_pq(true);
        let beyond = self.capability.into_bits() & !executed.into_bits();
        if beyond != 0 {
            return Err(BadOptions::Capability(Capability::from_bits(beyond)));
        }
        if self.channels == 0 || self.channels > limits::MAX_CHANNELS {
            return Err(BadOptions::Channels(self.channels));
        }
        if self.xfercap < limits::MIN_XFERCAP || self.xfercap > 31 {
            return Err(BadOptions::TransferCapability(self.xfercap));
        }
        if self.version != self.device.platform.version && !self.device.accepts(self.version) {
            return Err(BadOptions::Version(self.version));
        }
        Ok(())
    }
}

impl fmt::Display for BadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownDevice { vendor, device } => write!(
                f,
                "{vendor:04x}:{device:04x} is not an I/OAT engine; 8086:6f20 is one (driver/regs lists them all)"
            ),
            Self::NoSuchFunction { function, functions } => {
                write!(f, "there is no function {function}: this engine has {functions}, numbered from 0")
            }
            Self::Channels(count) => {
                write!(f, "{count} channels: a function has 1 to {}", limits::MAX_CHANNELS)
            }
            Self::TransferCapability(log) => write!(
                f,
                "XFERCAP {log}: the most bytes per descriptor are 2^{} to 2^31",
                limits::MIN_XFERCAP
            ),
            Self::Capability(beyond) => write!(
                f,
                "the model does not execute capabilities {:#010x}; it has page break, fill, XOR and PQ",
                beyond.into_bits()
            ),
            Self::Version(version) => write!(f, "this device never reports version {version}"),
        }
    }
}

impl std::error::Error for BadOptions {}
