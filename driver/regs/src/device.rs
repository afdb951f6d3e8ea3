//! The one table of engines: every PCI id of §1.1, and what is known about it before a register is read.
//!
//! The INF's hardware ids, the driver's decisions in AddDevice and the model's identities all come from here, and
//! tests hold them against it.

use core::fmt;

use bitfield_struct::bitfield;

use crate::{Capability, channel::Compatibility};

/// Hardware version as CBVER has it: major in the high four bits, minor in the low four.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u8);

impl Version {
    /// 1.2: chains that end with a null pointer, START and APPEND.
    pub const V1_2: Self = Self(0x12);
    /// 2.0: the descriptor counter.
    pub const V2_0: Self = Self(0x20);
    /// 3.0: one function per channel, MSI-X.
    pub const V3_0: Self = Self(0x30);
    /// 3.2.
    pub const V3_2: Self = Self(0x32);
    /// 3.3: no second copy of CHANERR to clear, 64-bit register accesses.
    pub const V3_3: Self = Self(0x33);
    /// 3.4: latency tolerance, descriptor prefetch. The last one.
    pub const V3_4: Self = Self(0x34);

    /// Major version.
    pub const fn major(self) -> u8 {
        self.0 >> 4
    }

    /// Minor version.
    pub const fn minor(self) -> u8 {
        self.0 & 0xF
    }

    /// The engine has DMACOUNT; without it chains end with a null pointer (§3.12).
    pub const fn has_counter(self) -> bool {
        self.major() >= 2
    }

    /// The engine has CHANERR_INT in configuration space, which keeps a channel halted until it is cleared
    /// (§1.6, Q4).
    pub const fn has_chanerr_int(self) -> bool {
        self.0 >= Self::V3_0.0 && self.0 < Self::V3_3.0
    }

    /// The engine has the latency tolerance registers.
    pub const fn has_latency_tolerance(self) -> bool {
        self.0 >= Self::V3_4.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major(), self.minor())
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Known departures from the rule (§4.12).
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct Quirks {
    /// Q1: a spurious configuration parity error appears in DMAUNCERRSTS; clear it with each reset (H10).
    pub config_parity: bool,
    /// Q2: internal errors upset the engine; write 0x3E07 to CHANERRMSK_INT with each reset (H10).
    pub mask_internal_errors: bool,
    /// Q3: a null descriptor of size zero halts the channel.
    pub null_needs_size: bool,
    /// Q4: the channel stays halted until CHANERR_INT is cleared (H9).
    pub clear_chanerr_int: bool,
    /// Q6: a channel reset wipes the MSI-X table and its pending bits (H11).
    pub reset_wipes_msix: bool,
    /// Q8: XOR, PQ and RAID16SS do not work, whatever DMACAPABILITY says (H27).
    pub raid_unusable: bool,
    /// Q12: 64-bit registers take two 32-bit accesses, low half first (H8).
    pub halves_only: bool,
    /// Q13: a reset of the RAID channels, functions 0 and 1, while others work may corrupt the others' data (H27).
    pub raid_reset_disturbs: bool,
    /// CBVER was seen to differ from what a driver of others assumes: 3.2 and 3.3 are both taken (H2, D4).
    pub version_3_2_or_3_3: bool,
    #[bits(7)]
    __: u8,
}

impl Quirks {
    /// The quirks of either.
    pub const fn and(self, other: Self) -> Self {
        Self::from_bits(self.into_bits() | other.into_bits())
    }
}

/// How a platform's functions interrupt, the line apart, which all of them have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Messages {
    /// MSI with one message for all channels (1.2 and 2.0).
    Msi,
    /// MSI-X with one entry; table and pending bits are in BAR0 at these offsets.
    Msix {
        /// Offset of the table.
        table: u32,
        /// Offset of the pending bits.
        pending: u32,
    },
}

impl Messages {
    /// Number of messages per function: one, on every platform known.
    pub const COUNT: u8 = 1;
}

/// What all engines of one product line have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Platform {
    /// The short name that other drivers use.
    pub nickname: &'static str,
    /// The product's name.
    pub name: &'static str,
    /// CBVER as the function reports it.
    pub version: Version,
    /// Number of PCI functions of one engine.
    pub functions: u8,
    /// Channels in each function, CHANCNT.
    pub channels: u8,
    /// Messages besides the line interrupt.
    pub messages: Messages,
    /// Size of BAR0 in bytes. 16 KiB is documented for the Xeon E5 v2; elsewhere it is our choice (§1.4, M69).
    pub bar_size: u32,
    /// Bits of a physical address that the engine can use (§1.7).
    pub address_bits: u8,
    /// DMACAPABILITY as the model reports it. Real values were not found; these are choices (§5.6).
    pub capability: Capability,
    /// DMA_COMP as the model reports it (§2.3).
    pub compatibility: Compatibility,
    /// What every engine of the line has.
    pub quirks: Quirks,
}

/// Which functions of an engine carry an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// This one.
    Only(u8),
    /// All of them.
    Any,
    /// This one, when firmware has given it the RAID identity (§1.3).
    Raid(u8),
}

/// One PCI id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Vendor id.
    pub vendor: u16,
    /// Device id.
    pub device: u16,
    /// The product line.
    pub platform: &'static Platform,
    /// Where in the engine the id is found.
    pub function: Function,
    /// What this id has beyond its platform.
    own_quirks: Quirks,
}

/// Intel's vendor id.
pub const INTEL: u16 = 0x8086;
/// Unisys' vendor id.
pub const UNISYS: u16 = 0x1018;

impl Device {
    /// The row of the table with this id; `None` for anything that is not a known engine.
    pub fn find(vendor: u16, device: u16) -> Option<&'static Self> {
        DEVICES.iter().find(|row| row.vendor == vendor && row.device == device)
    }

    /// Everything that is special about this id.
    pub const fn quirks(&self) -> Quirks {
        self.platform.quirks.and(self.own_quirks)
    }

    /// Whether a function with this id may report `version` in CBVER (D4).
    pub const fn accepts(&self, version: Version) -> bool {
        version.0 == self.platform.version.0
            || (self.quirks().version_3_2_or_3_3()
                && (version.0 == Version::V3_2.0 || version.0 == Version::V3_3.0))
    }
}

const E5_MSIX: Messages = Messages::Msix { table: 0x2000, pending: 0x3000 };
const ATOM_MSIX: Messages = Messages::Msix { table: 0x1000, pending: 0x1800 };

const COPY_AND_FILL: Capability = Capability::new().with_page_break(true).with_fill(true);
const V1_ONLY: Compatibility = Compatibility::new().with_v1(true);
const V2_ONLY: Compatibility = Compatibility::new().with_v2(true);
const V2_AND_V3: Compatibility = Compatibility::new().with_v2(true).with_v3(true);

const QUIRKS_3_0: Quirks = Quirks::new()
    .with_mask_internal_errors(true)
    .with_null_needs_size(true)
    .with_clear_chanerr_int(true)
    .with_halves_only(true);
const QUIRKS_3_2: Quirks = Quirks::new()
    .with_mask_internal_errors(true)
    .with_clear_chanerr_int(true)
    .with_raid_unusable(true)
    .with_halves_only(true);
const HALVES: Quirks = Quirks::new().with_halves_only(true);

/// 5000, 5100 and 7300 chipsets, hardware 1.2.
pub const CNB: Platform = Platform {
    nickname: "cnb",
    name: "5000, 5100 and 7300 series chipsets",
    version: Version::V1_2,
    functions: 1,
    channels: 4,
    messages: Messages::Msi,
    bar_size: 0x1000,
    address_bits: 40,
    capability: Capability::new(),
    compatibility: V1_ONLY,
    quirks: HALVES,
};
/// 5400 chipset, hardware 2.0.
pub const SEABURG: Platform = Platform {
    nickname: "seaburg",
    name: "5400 series chipset",
    version: Version::V2_0,
    compatibility: V2_ONLY,
    ..CNB
};
/// 5500 and X58 chipsets (Tylersburg), hardware 3.0.
pub const TBG: Platform = Platform {
    nickname: "tbg",
    name: "5520, 5500 and X58 chipsets",
    version: Version::V3_0,
    functions: 8,
    channels: 1,
    messages: E5_MSIX,
    bar_size: 0x4000,
    address_bits: 40,
    capability: COPY_AND_FILL,
    compatibility: V2_AND_V3,
    quirks: QUIRKS_3_0,
};
/// Xeon C5500 and C3500 (Jasper Forest), hardware 3.2. Its datasheet says 40 address bits, less than its
/// successors have.
pub const JSF: Platform = Platform {
    nickname: "jsf",
    name: "Xeon C5500 and C3500",
    version: Version::V3_2,
    quirks: QUIRKS_3_2,
    ..TBG
};
/// Xeon E5 (Sandy Bridge-EP), hardware 3.2.
pub const SNB: Platform = Platform { nickname: "snb", name: "Xeon E5", address_bits: 46, ..JSF };
/// Xeon E5 and E7 v2 (Ivy Bridge), hardware 3.2.
pub const IVB: Platform = Platform {
    nickname: "ivb",
    name: "Xeon E5 and E7 v2",
    quirks: QUIRKS_3_2.with_raid_reset_disturbs(true),
    ..SNB
};
/// Xeon E5 and E7 v3 (Haswell), hardware 3.2.
pub const HSW: Platform = Platform { nickname: "hsw", name: "Xeon E5 and E7 v3", ..SNB };
/// Xeon E5 and E7 v4 (Broadwell), hardware 3.2.
pub const BDX: Platform = Platform { nickname: "bdx", name: "Xeon E5 and E7 v4", ..SNB };
/// Xeon Scalable of the first two generations (Skylake, Cascade Lake). The one register dump found reads 3.3,
/// while Linux handles it as 3.2; so do we where that is the harmless choice, address bits included (H2).
pub const SKX: Platform = Platform {
    nickname: "skx",
    name: "Xeon Scalable (Skylake, Cascade Lake)",
    version: Version::V3_3,
    quirks: QUIRKS_3_2.with_mask_internal_errors(false).with_version_3_2_or_3_3(true),
    ..SNB
};
/// Atom S1200 (Briarwood, Centerton), hardware 3.3.
pub const BWD: Platform = Platform {
    nickname: "bwd",
    name: "Atom S1200",
    version: Version::V3_3,
    functions: 4,
    messages: ATOM_MSIX,
    address_bits: 48,
    quirks: Quirks::new().with_reset_wipes_msix(true),
    ..SNB
};
/// Xeon D-1500 (Broadwell-DE), hardware 3.3.
pub const BDXDE: Platform =
    Platform { nickname: "bdxde", name: "Xeon D-1500", quirks: BWD.quirks.with_raid_unusable(true), ..BWD };
/// Xeon Scalable of the third generation and Snow Ridge (Ice Lake), hardware 3.4.
pub const ICX: Platform = Platform {
    nickname: "icx",
    name: "Xeon Scalable (Ice Lake), Atom P5900",
    version: Version::V3_4,
    address_bits: 48,
    quirks: Quirks::new(),
    ..SNB
};

const fn only(device: u16, platform: &'static Platform, function: u8) -> Device {
    Device { vendor: INTEL, device, platform, function: Function::Only(function), own_quirks: Quirks::new() }
}

const fn any(device: u16, platform: &'static Platform) -> Device {
    Device { function: Function::Any, ..only(device, platform, 0) }
}

const fn raid(device: u16, platform: &'static Platform, function: u8) -> Device {
    Device { function: Function::Raid(function), ..only(device, platform, function) }
}

const fn with(row: Device, own_quirks: Quirks) -> Device {
    Device { own_quirks, ..row }
}

/// Every engine, oldest first. 8086:0b25 is absent on purpose: it is DSA, another kind of engine (H1).
pub static DEVICES: &[Device] = &[
    any(0x1A38, &CNB),
    any(0x360B, &CNB),
    any(0x65FF, &CNB),
    Device { vendor: UNISYS, ..any(0x001C, &CNB) },
    any(0x402F, &SEABURG),
    with(only(0x3430, &TBG, 0), Quirks::new().with_config_parity(true)),
    only(0x3431, &TBG, 1),
    only(0x3432, &TBG, 2),
    only(0x3433, &TBG, 3),
    only(0x3429, &TBG, 4),
    only(0x342A, &TBG, 5),
    only(0x342B, &TBG, 6),
    only(0x342C, &TBG, 7),
    only(0x3710, &JSF, 0),
    only(0x3711, &JSF, 1),
    only(0x3712, &JSF, 2),
    only(0x3713, &JSF, 3),
    only(0x3714, &JSF, 4),
    only(0x3715, &JSF, 5),
    only(0x3716, &JSF, 6),
    only(0x3717, &JSF, 7),
    raid(0x3718, &JSF, 0),
    raid(0x3719, &JSF, 1),
    only(0x3C20, &SNB, 0),
    only(0x3C21, &SNB, 1),
    only(0x3C22, &SNB, 2),
    only(0x3C23, &SNB, 3),
    only(0x3C24, &SNB, 4),
    only(0x3C25, &SNB, 5),
    only(0x3C26, &SNB, 6),
    only(0x3C27, &SNB, 7),
    raid(0x3C2E, &SNB, 0),
    raid(0x3C2F, &SNB, 1),
    only(0x0E20, &IVB, 0),
    only(0x0E21, &IVB, 1),
    only(0x0E22, &IVB, 2),
    only(0x0E23, &IVB, 3),
    only(0x0E24, &IVB, 4),
    only(0x0E25, &IVB, 5),
    only(0x0E26, &IVB, 6),
    only(0x0E27, &IVB, 7),
    raid(0x0E2E, &IVB, 0),
    raid(0x0E2F, &IVB, 1),
    only(0x2F20, &HSW, 0),
    only(0x2F21, &HSW, 1),
    only(0x2F22, &HSW, 2),
    only(0x2F23, &HSW, 3),
    only(0x2F24, &HSW, 4),
    only(0x2F25, &HSW, 5),
    only(0x2F26, &HSW, 6),
    only(0x2F27, &HSW, 7),
    raid(0x2F2E, &HSW, 0),
    raid(0x2F2F, &HSW, 1),
    only(0x6F20, &BDX, 0),
    only(0x6F21, &BDX, 1),
    only(0x6F22, &BDX, 2),
    only(0x6F23, &BDX, 3),
    only(0x6F24, &BDX, 4),
    only(0x6F25, &BDX, 5),
    only(0x6F26, &BDX, 6),
    only(0x6F27, &BDX, 7),
    raid(0x6F2E, &BDX, 0),
    raid(0x6F2F, &BDX, 1),
    any(0x2021, &SKX),
    only(0x0C50, &BWD, 0),
    only(0x0C51, &BWD, 1),
    with(only(0x0C52, &BWD, 2), Quirks::new().with_raid_unusable(true)),
    with(only(0x0C53, &BWD, 3), Quirks::new().with_raid_unusable(true)),
    only(0x6F50, &BDXDE, 0),
    only(0x6F51, &BDXDE, 1),
    only(0x6F52, &BDXDE, 2),
    only(0x6F53, &BDXDE, 3),
    any(0x0B00, &ICX),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_is_listed_twice() {
        for (position, row) in DEVICES.iter().enumerate() {
            assert_eq!(
                Device::find(row.vendor, row.device),
                DEVICES.get(position),
                "{:04x}:{:04x}",
                row.vendor,
                row.device
            );
        }
        assert_eq!(DEVICES.len(), 73);
    }

    #[test]
    fn every_function_of_an_engine_has_an_id() {
        for row in DEVICES {
            let platform = row.platform;
            for function in 0..platform.functions {
                assert!(
                    DEVICES.iter().any(|other| other.platform == platform
                        && (other.function == Function::Any || other.function == Function::Only(function))),
                    "{} function {function}",
                    platform.nickname
                );
            }
        }
    }

    #[test]
    fn dsa_is_not_one_of_ours() {
        assert_eq!(Device::find(INTEL, 0x0B25), None);
    }

    #[test]
    fn skylake_may_report_either_version_and_others_only_their_own() {
        let skylake = Device::find(INTEL, 0x2021).unwrap();
        assert!(skylake.accepts(Version::V3_2) && skylake.accepts(Version::V3_3));
        assert!(!skylake.accepts(Version::V3_4));
        let broadwell = Device::find(INTEL, 0x6F20).unwrap();
        assert!(broadwell.accepts(Version::V3_2) && !broadwell.accepts(Version::V3_3));
    }

    #[test]
    fn quirks_of_an_id_add_to_those_of_its_platform() {
        let tylersburg = Device::find(INTEL, 0x3430).unwrap().quirks();
        assert!(tylersburg.config_parity() && tylersburg.clear_chanerr_int());
        assert!(!Device::find(INTEL, 0x3431).unwrap().quirks().config_parity());
    }
}
