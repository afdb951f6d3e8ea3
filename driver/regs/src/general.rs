//! General registers: the first 128 bytes of BAR0, one set per PCI function (§2.1).
//!
//! The engine takes 8-, 16-, 32- and 64-bit accesses to all of them (M10). Reading [`INTRCTRL`] and
//! [`ATTNSTATUS`] has side effects, so a wide read that spans one of them has too.

use bitfield_struct::bitfield;

/// CHANCNT, 8 bits, read only: number of channels in bits 4:0. One on 3.x, four on 1.2 and 2.0.
pub const CHANCNT: u32 = 0x00;
/// The bits of CHANCNT and XFERCAP that count; the rest reads as zero.
pub const COUNT_MASK: u8 = 0x1F;
/// XFERCAP, 8 bits, read only: log2 of the most bytes one descriptor may move, in bits 4:0.
pub const XFERCAP: u32 = 0x01;
/// GENCTRL, 8 bits, read/write: bit 0 enables debugging. No known driver writes it.
pub const GENCTRL: u32 = 0x02;
/// INTRCTRL, 8 bits, read/write, [`IntrCtrl`]. **A read clears bit 0** (M12).
pub const INTRCTRL: u32 = 0x03;
/// ATTNSTATUS, 32 bits: bit n says that channel n has an interrupt to report. Cleared by reading, by writing
/// ones, and by the channel's re-arm (M13).
pub const ATTNSTATUS: u32 = 0x04;
/// CBVER, 8 bits, read only: hardware version, [`Version`](crate::Version).
pub const CBVER: u32 = 0x08;
/// PERPORTOFFSET, 16 bits, read only: offset of per-port registers on 1.x and 2.0; zero on 3.x.
pub const PERPORTOFFSET: u32 = 0x0A;
/// INTRDELAY, 16 bits, [`IntrDelay`].
pub const INTRDELAY: u32 = 0x0C;
/// CS_STATUS, 16 bits, read only: degraded mode, MMIO restricted, memory bypass, address remapping on.
pub const CS_STATUS: u32 = 0x0E;
/// DMACAPABILITY, 32 bits, read only, [`Capability`]. Reads zero on 1.2, which does not define it (M63).
pub const DMACAPABILITY: u32 = 0x10;
/// DCAOFFSET, 16 bits, read only: where the direct cache access block starts; zero means there is none.
pub const DCAOFFSET: u32 = 0x14;
/// CBPRIO, 8 bits, read only: priority; unused.
pub const CBPRIO: u32 = 0x40;
/// CHWPREFLMT, 8 bits, read/write, 3.4: hardware descriptor prefetch limit. Touch it only when
/// [`Capability::descriptor_prefetch`] is set (H17).
pub const CHWPREFLMT: u32 = 0x4C;
/// First of six DCA requester slots of 1.2, 4 bytes each, read/write.
pub const DCA_REQUESTER: u32 = 0x54;
/// How many DCA requester slots 1.2 has.
pub const DCA_REQUESTERS: u32 = 6;

/// INTRCTRL, interrupt control of the function.
///
/// Bits 0 to 2 serve line interrupts and single messages; with MSI-X they do nothing (M50). A handler on a
/// shared line reads the register, which clears bit 0 and drops the line, and writes back what it read (H30).
#[bitfield(u8)]
#[derive(PartialEq, Eq)]
pub struct IntrCtrl {
    /// Master interrupt enable. Cleared by hardware when the register is read.
    pub master_enable: bool,
    /// Read only: some bit of ATTNSTATUS is set.
    pub status: bool,
    /// Read only: status and master enable, the line itself.
    pub interrupt: bool,
    /// One MSI-X vector per channel. Plain storage on 3.2.
    pub vector_per_channel: bool,
    #[bits(4)]
    __: u8,
}

/// INTRDELAY, the least time between two interrupts.
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct IntrDelay {
    /// Microseconds between interrupts, 0 to 16383.
    #[bits(14)]
    pub microseconds: u16,
    __: bool,
    /// Read only: the engine coalesces interrupts. When clear, leave the register alone (H32).
    pub supported: bool,
}

/// DMACAPABILITY, what the engine offers (§2.2).
///
/// Several products claim XOR, PQ and RAID16SS without a usable RAID unit:
/// [`Quirks::raid_unusable`](crate::Quirks::raid_unusable).
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Capability {
    /// A descriptor may continue on a second source or destination page.
    pub page_break: bool,
    /// CRC generation.
    pub crc: bool,
    /// Marker skipping.
    pub marker_skip: bool,
    /// The XOR opcodes 0x85 and 0x86, which 3.x no longer executes.
    pub old_xor: bool,
    /// Direct cache access.
    pub dca: bool,
    /// Copy with CRC.
    pub copy_crc: bool,
    /// Block fill.
    pub fill: bool,
    /// 32-bit APIC ids for direct cache access.
    pub wide_apic: bool,
    /// XOR, as for RAID 5.
    pub xor: bool,
    /// P and Q, as for RAID 6.
    pub pq: bool,
    /// Data integrity field operations.
    pub dif: bool,
    #[bits(2)]
    __: u8,
    /// Validate results are written into the descriptor instead of halting.
    pub descriptor_write_back: bool,
    #[bits(3)]
    __: u8,
    /// P and Q over 16 sources.
    pub pq16: bool,
    /// Multicast copy.
    pub multicast: bool,
    /// Completion timeout.
    pub completion_timeout: bool,
    #[bits(3)]
    __: u8,
    /// Descriptor prefetch control (3.4).
    pub descriptor_prefetch: bool,
    __: u8,
}
