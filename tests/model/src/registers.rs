//! Which register an access touches.
//!
//! The engine takes accesses of 1, 2, 4 and 8 bytes anywhere (M10), so an access may cover several registers or
//! part of one. [`RegisterFile::covered`] breaks it into its registers, each with the bytes that are concerned.

use ioat_regs::{ChannelMap, Version, channel, general};

/// Every register of the engine, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Register {
    /// Number of channels.
    Chancnt,
    /// Log2 of the most bytes per descriptor.
    Xfercap,
    /// Debug enable.
    Genctrl,
    /// Interrupt control.
    Intrctrl,
    /// Channels with an interrupt to report.
    Attnstatus,
    /// Version.
    Cbver,
    /// Offset of per-port registers.
    Perportoffset,
    /// Interrupt delay.
    Intrdelay,
    /// Chipset status.
    CsStatus,
    /// Capabilities.
    Dmacapability,
    /// Offset of the direct cache access block.
    Dcaoffset,
    /// Priority.
    Cbprio,
    /// Prefetch limit.
    Chwpreflmt,
    /// Direct cache access requesters of 1.2.
    DcaRequester,
    /// Channel control.
    Chanctrl,
    /// Compatibility.
    DmaComp,
    /// Channel command.
    Chancmd,
    /// Descriptor count.
    Dmacount,
    /// Channel status.
    Chansts,
    /// Chain address.
    Chainaddr,
    /// Address of the completion word.
    Chancmp,
    /// Current descriptor address.
    Cdar,
    /// Channel error.
    Chanerr,
    /// Mask of channel errors.
    Chanerrmask,
    /// Direct cache access control.
    Dcactrl,
    /// Ring size for the prefetcher.
    Drsctl,
    /// Latency tolerance select.
    LtrSwsel,
    /// Latency tolerance, active.
    LtrActive,
    /// Latency tolerance, idle.
    LtrIdle,
    /// MSI-X table.
    MsixTable,
    /// MSI-X pending bits.
    MsixPending,
}

impl Register {
    /// How many registers there are.
    pub const COUNT: usize = Self::MsixPending as usize + 1;
}

/// One register at its place in the BAR.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) register: Register,
    /// The channel it belongs to; for the MSI-X table the vector; else zero.
    pub(crate) index: u8,
    offset: u32,
    width: u8,
}

impl Slot {
    fn new(register: Register, index: u8, offset: u32, width: u8) -> Self {
        Self { register, index, offset, width }
    }
}

/// The part of an access that falls on one register.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Covered {
    pub(crate) slot: Slot,
    /// By how many bits the register's value is shifted left to stand where the access has it (negative: right).
    shift: i32,
    /// The register's bits that the access covers.
    pub(crate) mask: u64,
}

impl Covered {
    /// The register's value `value`, moved to its place in the access.
    pub(crate) fn place(&self, value: u64) -> u64 {
        shifted(value & self.mask, self.shift)
    }

    /// The access's value `value`, moved to its place in the register.
    pub(crate) fn extract(&self, value: u64) -> u64 {
        shifted(value, -self.shift) & self.mask
    }
}

/// The registers of one function, by offset.
#[derive(Debug)]
pub(crate) struct RegisterFile {
    slots: Vec<Slot>,
}

impl RegisterFile {
    pub(crate) fn new(version: Version, channels: u8, msix: Option<(u32, u32)>) -> Self {
        let mut slots = vec![
            Slot::new(Register::Chancnt, 0, general::CHANCNT, 1),
            Slot::new(Register::Xfercap, 0, general::XFERCAP, 1),
            Slot::new(Register::Genctrl, 0, general::GENCTRL, 1),
            Slot::new(Register::Intrctrl, 0, general::INTRCTRL, 1),
            Slot::new(Register::Attnstatus, 0, general::ATTNSTATUS, 4),
            Slot::new(Register::Cbver, 0, general::CBVER, 1),
            Slot::new(Register::Perportoffset, 0, general::PERPORTOFFSET, 2),
            Slot::new(Register::Intrdelay, 0, general::INTRDELAY, 2),
            Slot::new(Register::CsStatus, 0, general::CS_STATUS, 2),
            Slot::new(Register::Dmacapability, 0, general::DMACAPABILITY, 4),
            Slot::new(Register::Dcaoffset, 0, general::DCAOFFSET, 2),
            Slot::new(Register::Cbprio, 0, general::CBPRIO, 1),
        ];
        if version.has_latency_tolerance() {
            slots.push(Slot::new(Register::Chwpreflmt, 0, general::CHWPREFLMT, 1));
        }
        if version.major() < 2 {
            slots.extend(
                (0..general::DCA_REQUESTERS)
                    .map(|n| Slot::new(Register::DcaRequester, n as u8, general::DCA_REQUESTER + 4 * n, 4)),
            );
        }
        for number in 0..channels {
            channel_slots(version, number, &mut slots);
        }
        if let Some((table, pending)) = msix {
            slots.extend(
                (0..channels)
                    .flat_map(|vector| [0, 8].map(|half| (vector, u32::from(vector) * 16 + half)))
                    .map(|(vector, offset)| Slot::new(Register::MsixTable, vector, table + offset, 8)),
            );
            slots.push(Slot::new(Register::MsixPending, 0, pending, 8));
        }
        slots.sort_by_key(|slot| slot.offset);
        Self { slots }
    }

    /// The registers that `width` bytes at `offset` touch, in order.
    pub(crate) fn covered(&self, offset: u32, width: u8) -> impl Iterator<Item = Covered> + use<'_> {
        let end = offset.saturating_add(width.into());
        let first = self.slots.partition_point(|slot| slot.offset + u32::from(slot.width) <= offset);
        self.slots[first..].iter().take_while(move |slot| slot.offset < end).map(move |&slot| {
            let shift = (slot.offset as i32 - offset as i32) * 8;
            let of_access = u64::MAX >> (64 - 8 * u32::from(width));
            let of_register = u64::MAX >> (64 - 8 * u32::from(slot.width));
            Covered { slot, shift, mask: shifted(of_access, -shift) & of_register }
        })
    }

    /// Offset within its register pair of a slot of the MSI-X table: zero for the address, eight for the rest.
    pub(crate) fn is_upper_half(slot: &Slot) -> bool {
        slot.offset % 16 == 8
    }
}

fn channel_slots(version: Version, number: u8, slots: &mut Vec<Slot>) {
    let map = ChannelMap::of(version);
    let base = channel::base(number);
    let mut add = |register, offset, width| slots.push(Slot::new(register, number, base + offset, width));
    add(Register::Chanctrl, map.control, 2);
    add(Register::DmaComp, map.compatibility, 2);
    add(Register::Chancmd, map.command, 1);
    add(Register::Chansts, map.status, 8);
    add(Register::Chainaddr, map.chain, 8);
    add(Register::Chancmp, map.completion, 8);
    add(Register::Cdar, map.current, 8);
    add(Register::Chanerr, map.error, 4);
    add(Register::Chanerrmask, map.error_mask, 4);
    if let Some(offset) = map.count {
        add(Register::Dmacount, offset, 2);
    }
    if let Some(offset) = map.dca {
        add(Register::Dcactrl, offset, 4);
    }
    if version.has_latency_tolerance() {
        add(Register::Drsctl, channel::DRSCTL, 2);
        add(Register::LtrSwsel, channel::LTR_SWSEL, 1);
        add(Register::LtrActive, channel::LTR_ACTIVE, 4);
        add(Register::LtrIdle, channel::LTR_IDLE, 4);
    }
}

/// `value` shifted left by `by` bits, right if that is negative; zero when everything is shifted out.
fn shifted(value: u64, by: i32) -> u64 {
    if by >= 0 {
        value.checked_shl(by.unsigned_abs()).unwrap_or(0)
    } else {
        value.checked_shr(by.unsigned_abs()).unwrap_or(0)
    }
}
