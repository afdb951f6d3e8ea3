//! Which engine this is: from its PCI id when the device is added, from its registers when it starts (D4).

use ioat_regs::{Device, Quirks, Version, general, limits};
use netdma_abi as abi;

use crate::Registers;

/// How the engine is told of work, and so which NetDMA dialect it can speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Chains that end with a null pointer, START and APPEND: hardware 1.2, NetDMA 1.x.
    NullTerminated,
    /// Rings and a descriptor counter: hardware 2.0 and later, NetDMA 2.x.
    Counted,
}

impl Dialect {
    /// What hardware of `version` needs.
    pub const fn of(version: Version) -> Self {
        if version.has_counter() { Self::Counted } else { Self::NullTerminated }
    }
}

/// What is known of an engine before its registers can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The table's row.
    pub device: &'static Device,
    /// The NetDMA version to register as: 2.1 with a descriptor counter, 1.1 without.
    pub registered: abi::Version,
    /// The dialect that goes with it.
    pub dialect: Dialect,
    /// Upper bound of the channels in this function.
    pub max_channels: u8,
    /// Number of messages worth asking for: one per function on every platform known.
    pub messages: u8,
}

/// The id names no engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdentityError {
    /// PCI vendor id.
    pub vendor: u16,
    /// PCI device id.
    pub device: u16,
}

impl Identity {
    /// Decides from the PCI id alone, for registration comes before the registers can be read (D4).
    ///
    /// `newest` is the version of the interface: registering above it would be refused (R16).
    ///
    /// # Errors
    /// The id is in no row of the table; the INF and the table have come apart.
    pub fn of(vendor: u16, device: u16, newest: abi::Version) -> Result<Self, IdentityError> {
        let row = Device::find(vendor, device).ok_or(IdentityError { vendor, device })?;
        let dialect = Dialect::of(row.platform.version);
        let own = match dialect {
            Dialect::Counted => abi::Version::V2_1,
            Dialect::NullTerminated => abi::Version::V1_1,
        };
        Ok(Self {
            device: row,
            registered: own.min(newest),
            dialect,
            max_channels: row.platform.channels,
            messages: ioat_regs::device::Messages::COUNT,
        })
    }

    /// The same engine registered as `version`; `None` when that is above what it would register as, or of a dialect that
    /// it does not speak. A counter driven engine cannot take lists whose last link is changed after they were announced
    /// (H47), which is how 1.x appends; one without a counter has nothing to tell it where a 2.x list ends.
    pub fn registered_as(self, version: abi::Version) -> Option<Self> {
        let dialect = if version < abi::Version::V2_0 { Dialect::NullTerminated } else { Dialect::Counted };
        (dialect == self.dialect && version <= self.registered)
            .then_some(Self { registered: version, ..self })
    }
}

/// What the registers say about the engine; constant while it is in D0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Engine {
    /// CBVER.
    pub version: Version,
    /// Channels present, at most what was registered.
    pub channels: u8,
    /// Most bytes per descriptor.
    pub max_transfer: u32,
    /// Largest physical address the engine reaches.
    pub max_address: u64,
    /// Known departures from the rule.
    pub quirks: Quirks,
    /// Offset of the MSI-X table and of its pending bits in BAR0, where a reset wipes them (H11).
    pub wiped_msix: Option<(u32, u32)>,
    /// The PCI device id.
    pub device: u16,
}

/// The registers do not fit what was registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeError {
    /// They read as all-ones: the device is not there, or its memory decoding is off.
    Gone,
    /// CBVER is not one that this id may report.
    Version {
        /// What CBVER reads.
        found: Version,
        /// What the table expects.
        expected: Version,
    },
    /// CBVER needs the other dialect than the one registered (D4).
    Dialect {
        /// What CBVER reads.
        found: Version,
    },
    /// CHANCNT is zero.
    NoChannels,
    /// XFERCAP is below 4 KiB (H3).
    TransferLimit {
        /// log2 of the bytes per descriptor that XFERCAP reads.
        found: u8,
    },
}

impl Engine {
    /// Whether a channel is claimed by reading CHANCTRL: before 3.0 (H42).
    pub(crate) const fn is_claimed_by_read(&self) -> bool {
        self.version.0 < Version::V3_0.0
    }

    /// Reads the constant registers: CBVER, CHANCNT, XFERCAP (H2, H3). Nothing is written and nothing that has a
    /// side effect is read.
    ///
    /// # Errors
    /// The registers are not those of the engine that `identity` promised.
    pub fn probe(registers: &impl Registers, identity: &Identity) -> Result<Self, ProbeError> {
        let version = Version(registers.read8(general::CBVER));
        if version.0 == u8::MAX {
            return Err(ProbeError::Gone);
        }
        if Dialect::of(version) != identity.dialect {
            return Err(ProbeError::Dialect { found: version });
        }
        let expected = identity.device.platform.version;
        if !identity.device.accepts(version) {
            return Err(ProbeError::Version { found: version, expected });
        }
        let channels = registers.read8(general::CHANCNT) & general::COUNT_MASK;
        if channels == 0 {
            return Err(ProbeError::NoChannels);
        }
        let transfer = registers.read8(general::XFERCAP) & general::COUNT_MASK;
        if transfer < limits::MIN_XFERCAP {
            return Err(ProbeError::TransferLimit { found: transfer });
        }
        let quirks = identity.device.quirks();
        let wiped_msix = match identity.device.platform.messages {
            ioat_regs::device::Messages::Msix { table, pending } if quirks.reset_wipes_msix() => {
                Some((table, pending))
            }
            _ => None,
        };
        Ok(Self {
            version,
            channels: channels.min(identity.max_channels),
            max_transfer: 1u32.wrapping_shl(u32::from(transfer)).min(limits::MAX_TRANSFER),
            max_address: 1u64.wrapping_shl(u32::from(identity.device.platform.address_bits)).wrapping_sub(1),
            quirks,
            wiped_msix,
            device: identity.device.device,
        })
    }
}
