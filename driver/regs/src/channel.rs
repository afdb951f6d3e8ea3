//! The register block of one channel: layout by version, and the fields of each register (§2.3 to §2.6).

use core::fmt;

use bitfield_struct::bitfield;

use crate::Version;

/// Distance between two channel blocks, and from the start of BAR0 to the first one.
pub const STRIDE: u32 = 0x80;

/// Offset of channel `n`'s block from the start of BAR0. `n` is less than 32, the most CHANCNT can say.
pub const fn base(n: u8) -> u32 {
    STRIDE * (n as u32 + 1)
}

/// Where the registers of a channel are, from the channel's base.
///
/// There are two layouts: hardware 1.x, and everything later. A register that one of them lacks is `None`.
/// The 64-bit registers may be accessed in halves, low half first, on every version (H8); on hardware before 3.3
/// that is the only way that is known to work for CHAINADDR and CHANCMP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelMap {
    /// CHANCTRL, 16 bits, read/write, [`ChanCtrl`].
    pub control: u32,
    /// DMA_COMP, 16 bits, read only, [`Compatibility`].
    pub compatibility: u32,
    /// CHANCMD, 8 bits, [`ChanCmd`].
    pub command: u32,
    /// DMACOUNT, 16 bits, read/write: descriptors made available since CHAINADDR was written, modulo 65536.
    /// Never read it back (H20).
    pub count: Option<u32>,
    /// CHANSTS, 64 bits, read only, [`ChanSts`]. On hardware before 3.3 read the low half first.
    pub status: u32,
    /// CHAINADDR, 64 bits, read/write: address of the first descriptor, a multiple of 64.
    pub chain: u32,
    /// CHANCMP, 64 bits, read/write: where the completion word goes, a multiple of 8.
    pub completion: u32,
    /// CDAR, 64 bits, read only: address of the current descriptor, for debugging.
    pub current: u32,
    /// CHANERR, 32 bits, [`ChanErr`](crate::ChanErr). A bit written as one is cleared.
    pub error: u32,
    /// CHANERRMASK, 32 bits, read/write: a set bit keeps that error from halting the channel.
    pub error_mask: u32,
    /// DCACTRL, 32 bits, read/write, [`DcaCtrl`].
    pub dca: Option<u32>,
}

/// Hardware 1.x: no counter, and CHANSTS and CHAINADDR on addresses that are multiples of 4 only (§2.3.1).
pub const MAP_V1: ChannelMap = ChannelMap {
    control: 0x00,
    compatibility: 0x02,
    status: 0x04,
    chain: 0x0C,
    command: 0x14,
    completion: 0x18,
    current: 0x20,
    error: 0x28,
    error_mask: 0x2C,
    count: None,
    dca: None,
};

/// Hardware 2.0 and later (§2.3).
pub const MAP_V2: ChannelMap = ChannelMap {
    control: 0x00,
    compatibility: 0x02,
    command: 0x04,
    count: Some(0x06),
    status: 0x08,
    chain: 0x10,
    completion: 0x18,
    current: 0x20,
    error: 0x28,
    error_mask: 0x2C,
    dca: Some(0x30),
};

impl ChannelMap {
    /// The layout that hardware of `version` has.
    pub const fn of(version: Version) -> &'static Self {
        if version.major() < 2 { &MAP_V1 } else { &MAP_V2 }
    }
}

/// DRSCTL of 3.4, 16 bits: size of the descriptor ring for the prefetcher. Only with
/// [`Capability::descriptor_prefetch`](crate::Capability::descriptor_prefetch).
pub const DRSCTL: u32 = 0xB6;
/// LTR_SWSEL of 3.4, 8 bits: 0 selects the active latency tolerance, 1 the idle one.
pub const LTR_SWSEL: u32 = 0xBC;
/// LTR_ACTIVE of 3.4, 32 bits: latency tolerance while the channel is in use. Linux writes 0x8800.
pub const LTR_ACTIVE: u32 = 0xC0;
/// LTR_IDLE of 3.4, 32 bits: latency tolerance while it is not. Linux writes 0x8A58 (600 µs).
pub const LTR_IDLE: u32 = 0xC4;

/// CHANCTRL, channel control (§2.4).
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct ChanCtrl {
    /// Set by hardware with each interrupt, which keeps further ones back; **writing one clears it**, which is
    /// the re-arm. Writing zero leaves it.
    pub interrupt_disable: bool,
    __: bool,
    /// Write the completion word when an error halts the channel.
    pub error_completion: bool,
    /// Halt on any error.
    pub any_error_abort: bool,
    /// Interrupt on error.
    pub error_interrupt: bool,
    /// Descriptor fetches are not snooped. Leave it clear (H13).
    pub no_descriptor_snoop: bool,
    #[bits(2)]
    __: u8,
    /// A semaphore: the read that finds it clear returns it clear and sets it.
    pub in_use: bool,
    /// Completion words go through direct cache access. Leave it clear (H13).
    pub completion_dca: bool,
    #[bits(2)]
    __: u8,
    /// Priority, 1.2 and 2.0 only.
    #[bits(4)]
    pub priority: u8,
}

/// What a running channel's CHANCTRL is written with: re-arm, and halt, completion word and interrupt on any
/// error. 0x001D (H13).
pub const CHANCTRL_RUN: ChanCtrl = ChanCtrl::new()
    .with_interrupt_disable(true)
    .with_error_completion(true)
    .with_any_error_abort(true)
    .with_error_interrupt(true);

/// DMA_COMP, the older register layouts a channel also answers to.
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct Compatibility {
    /// Works as version 1.
    pub v1: bool,
    /// Works as version 2.
    pub v2: bool,
    /// Works as version 3.
    pub v3: bool,
    #[bits(13)]
    __: u16,
}

/// CHANCMD, channel commands (§2.5).
///
/// One bit at a time: two set bits are an error (M24). All read as zero but [`reset`](Self::reset), which reads
/// as one until the reset is done.
#[bitfield(u8)]
#[derive(PartialEq, Eq)]
pub struct ChanCmd {
    /// 1.x: run the chain at CHAINADDR from its first descriptor.
    pub start: bool,
    /// 1.x: read the last descriptor's next pointer again and go on there.
    pub append: bool,
    /// Stop after the descriptors in flight.
    pub suspend: bool,
    /// Stop now; the channel ends up halted.
    pub abort: bool,
    /// Go on after a suspend.
    pub resume: bool,
    /// Return the channel to its power-on state.
    pub reset: bool,
    #[bits(2)]
    __: u8,
}

impl ChanCmd {
    /// START, 0x01.
    pub const START: Self = Self::new().with_start(true);
    /// APPEND, 0x02.
    pub const APPEND: Self = Self::new().with_append(true);
    /// SUSPEND, 0x04.
    pub const SUSPEND: Self = Self::new().with_suspend(true);
    /// ABORT, 0x08.
    pub const ABORT: Self = Self::new().with_abort(true);
    /// RESUME, 0x10.
    pub const RESUME: Self = Self::new().with_resume(true);
    /// RESET, 0x20.
    pub const RESET: Self = Self::new().with_reset(true);
}

/// CHANSTS, and word for word the completion word that the engine writes to memory (§2.6).
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct ChanSts(pub u64);

impl ChanSts {
    /// The bits of the address; descriptors are 64-byte aligned.
    pub const ADDRESS_MASK: u64 = !0x3F;
    /// The bits of the state.
    pub const STATE_MASK: u64 = 0x7;
    /// Unaffiliated error: one that belongs to no descriptor.
    pub const UNAFFILIATED_ERROR: u64 = 1 << 3;
    /// The bit of a soft error.
    pub const SOFT_ERROR: u64 = 1 << 4;

    /// The word for `address` (its low six bits are dropped) and `state`.
    pub const fn new(address: u64, state: State) -> Self {
        Self((address & Self::ADDRESS_MASK) | state as u64)
    }

    /// Bus address of the last descriptor completed; zero when none was since the chain was set.
    pub const fn address(self) -> u64 {
        self.0 & Self::ADDRESS_MASK
    }

    /// The state, or `None` for the three values that no engine reports. All-ones, as read from a removed
    /// device, is one of those.
    pub const fn state(self) -> Option<State> {
        State::from_bits(self.0)
    }
}

impl fmt::Debug for ChanSts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state() {
            Some(state) => write!(f, "{:#x}|{state:?}", self.address()),
            None => write!(f, "{:#x}", self.0),
        }
    }
}

/// State of a channel, bits 2:0 of CHANSTS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// Working.
    Active = 0,
    /// Everything announced is done. Also called done.
    Idle = 1,
    /// Suspended by command.
    Suspended = 2,
    /// Stopped by an error, an abort or a reset; the state at power-on.
    Halted = 3,
    /// CHAINADDR is written, nothing has been fetched yet. 2.0 and later.
    Armed = 4,
}

impl State {
    /// The state that the low three bits of `status` name, if they name one.
    pub const fn from_bits(status: u64) -> Option<Self> {
        Some(match status & ChanSts::STATE_MASK {
            0 => Self::Active,
            1 => Self::Idle,
            2 => Self::Suspended,
            3 => Self::Halted,
            4 => Self::Armed,
            _ => return None,
        })
    }
}

/// DCACTRL, direct cache access of completion words.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct DcaCtrl {
    /// APIC id of the target; 0xFFFF means any.
    pub target: u16,
    /// Completion words go to that target's cache.
    pub enable: bool,
    #[bits(15)]
    __: u16,
}

/// DCACTRL at power-on: any target, disabled.
pub const DCACTRL_RESET: DcaCtrl = DcaCtrl::new().with_target(0xFFFF);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_value_is_the_one_that_linux_writes() {
        assert_eq!(CHANCTRL_RUN.into_bits(), 0x001D);
    }

    #[test]
    fn commands_have_the_values_of_the_specification() {
        let values = [
            ChanCmd::START,
            ChanCmd::APPEND,
            ChanCmd::SUSPEND,
            ChanCmd::ABORT,
            ChanCmd::RESUME,
            ChanCmd::RESET,
        ];
        assert_eq!(values.map(ChanCmd::into_bits), [0x01, 0x02, 0x04, 0x08, 0x10, 0x20]);
    }

    #[test]
    fn version_one_has_its_own_layout() {
        assert_eq!(ChannelMap::of(Version::V1_2), &MAP_V1);
        for version in [Version::V2_0, Version::V3_0, Version::V3_4] {
            assert_eq!(ChannelMap::of(version), &MAP_V2);
        }
    }

    #[test]
    fn a_status_of_all_ones_names_no_state() {
        assert_eq!(ChanSts(u64::MAX).state(), None);
        assert_eq!(ChanSts::new(0x1_0000_0040, State::Halted).0, 0x1_0000_0043);
    }
}
