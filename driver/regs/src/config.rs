//! PCI configuration space: the standard header and capabilities as the engine has them, and the engine's own
//! registers (§1.4 to §1.6).

use bitfield_struct::bitfield;

/// Size of the configuration space of a 3.x function, in bytes; 1.2 and 2.0 have the first 256 only (M69).
pub const SIZE: u16 = 4096;

/// Vendor id, 16 bits.
pub const VENDOR: u16 = 0x00;
/// Device id, 16 bits.
pub const DEVICE: u16 = 0x02;
/// Command, 16 bits, [`Command`].
pub const COMMAND: u16 = 0x04;
/// Status, 16 bits, [`Status`].
pub const STATUS: u16 = 0x06;
/// Revision, 8 bits; the three class bytes follow.
pub const REVISION: u16 = 0x08;
/// Base class 08, sub-class 80, interface 00: other system peripheral (M1).
pub const CLASS: u32 = 0x08_8000;
/// Header type, 8 bits: bit 7 says that the device has several functions.
pub const HEADER_TYPE: u16 = 0x0E;
/// Offset of BAR0, low half; the high half follows (M2).
pub const BAR0: u16 = 0x10;
/// Subsystem vendor id, 16 bits; the subsystem id follows.
pub const SUBSYSTEM: u16 = 0x2C;
/// Offset of the first capability, 8 bits.
pub const CAPABILITIES: u16 = 0x34;
/// Interrupt line, 8 bits, for software.
pub const INTERRUPT_LINE: u16 = 0x3C;
/// Interrupt pin, 8 bits: 1 is INTA.
pub const INTERRUPT_PIN: u16 = 0x3D;

/// The MSI-X capability of 3.x: one entry (§1.5).
pub const MSIX: u16 = 0x80;
/// Offset of the PCI Express capability.
pub const PCIE: u16 = 0x90;
/// Offset of the power management capability.
pub const POWER: u16 = 0xE0;
/// The power management capability of 1.2 and 2.0. Where is our choice; no source tells (M69).
pub const POWER_V1: u16 = 0x50;
/// The MSI capability of 1.2 and 2.0: one message, 64-bit address. Where is our choice; no source tells (M69).
pub const MSI: u16 = 0x58;

/// Capability id of power management.
pub const CAP_POWER: u8 = 0x01;
/// Capability id of MSI.
pub const CAP_MSI: u8 = 0x05;
/// Capability id of PCI Express.
pub const CAP_PCIE: u8 = 0x10;
/// Capability id of MSI-X.
pub const CAP_MSIX: u8 = 0x11;

/// DMACTRL of 1.2, 32 bits: bit 0 enables DMA, bit 1 follows the use of MSI.
pub const DMACTRL: u16 = 0x48;
/// The bit of [`DMACTRL`] that says whether the interrupt is a message; drivers keep it in step (§1.4).
pub const DMACTRL_MSI: u32 = 1 << 1;
/// DEVCFG, 16 bits, function 0 only, the firmware's.
pub const DEVCFG: u16 = 0x60;
/// DMAUNCERRSTS, 32 bits, function 0: uncorrectable errors of the whole engine, write one to clear.
pub const DMAUNCERRSTS: u16 = 0x148;
/// The bit of [`DMAUNCERRSTS`] that 8086:3430 sets for nothing and that must be cleared with each reset (H10).
pub const CONFIG_PARITY: u32 = 0x10;
/// DMAUNCERRMSK, 32 bits, function 0.
pub const DMAUNCERRMSK: u16 = 0x14C;
/// DMAUNCERRSEV, 32 bits, function 0.
pub const DMAUNCERRSEV: u16 = 0x150;
/// DMAUNCERRPTR, 8 bits, function 0, read only.
pub const DMAUNCERRPTR: u16 = 0x154;
/// DMAGLBERRPTR, 8 bits, function 0, read only.
pub const DMAGLBERRPTR: u16 = 0x160;
/// CHANERR_INT, 32 bits, 3.0 to 3.2: second copy of CHANERR. Unless cleared the channel stays halted (H9).
pub const CHANERR_INT: u16 = 0x180;
/// CHANERRMSK_INT, 32 bits: mask of the above.
pub const CHANERRMSK_INT: u16 = 0x184;
/// What drivers write to [`CHANERRMSK_INT`] of 3.0 and 3.2, where some internal errors upset the engine (H10).
pub const CHANERRMSK_INT_RUN: u32 = 0x3E07;
/// CHANERRSEV_INT, 32 bits: severity of the above.
pub const CHANERRSEV_INT: u16 = 0x188;
/// CHANERRPTR, 8 bits, read only: index of the first logged bit.
pub const CHANERRPTR: u16 = 0x18C;

/// Command register; the bits that the engine implements.
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct Command {
    __: bool,
    /// BAR0 answers.
    pub memory: bool,
    /// The function may read and write memory and send messages.
    pub bus_master: bool,
    #[bits(7)]
    __: u8,
    /// No line interrupts.
    pub interrupt_disable: bool,
    #[bits(5)]
    __: u8,
}

/// Status register; the bits that the engine implements.
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct Status {
    #[bits(3)]
    __: u8,
    /// The line interrupt is pending.
    pub interrupt: bool,
    /// There is a capability list.
    pub capabilities: bool,
    #[bits(3)]
    __: u8,
    /// A parity error was reported; write one to clear.
    pub master_parity: bool,
    #[bits(2)]
    __: u8,
    /// A target abort was signalled; write one to clear.
    pub target_abort: bool,
    #[bits(3)]
    __: u8,
    /// Bad data came in; write one to clear.
    pub parity: bool,
}

/// MSI-X message control, at [`MSIX`] + 2.
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct MsixControl {
    /// Number of table entries less one, read only.
    #[bits(11)]
    pub last_entry: u16,
    #[bits(3)]
    __: u8,
    /// Hold all messages back.
    pub function_mask: bool,
    /// Use MSI-X instead of the line.
    pub enable: bool,
}

/// Offset of the PCI Express device control word from [`PCIE`].
pub const PCIE_DEVICE_CONTROL: u16 = 0x08;

/// MSI message control, at [`MSI`] + 2.
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct MsiControl {
    /// Use the message instead of the line.
    pub enable: bool,
    #[bits(6)]
    __: u8,
    /// The message address has 64 bits. Read only.
    pub wide: bool,
    __: u8,
}

/// PCI Express device control, at [`PCIE`] + 8; the bits that the engine implements.
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct PcieControl {
    #[bits(4)]
    __: u8,
    /// Writes may pass writes. Clear it: completion words must not pass data (H16).
    pub relaxed_ordering: bool,
    #[bits(6)]
    __: u8,
    /// Transactions may ask not to be snooped.
    pub no_snoop: bool,
    #[bits(3)]
    __: u8,
    /// Writing one resets the function; reads as zero.
    pub function_level_reset: bool,
}

/// Offset of the power management control and status word from [`POWER`].
pub const POWER_CONTROL: u16 = 0x04;

/// Power management control and status, at [`POWER`] + 4.
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct PowerControl {
    /// 0 is D0, 3 is D3hot; the engine has no others.
    #[bits(2)]
    pub state: u8,
    __: bool,
    /// D3hot to D0 keeps the registers. Read only.
    pub no_soft_reset: bool,
    #[bits(12)]
    __: u16,
}
