//! What configuration space says: identity, BARs, capabilities, as firmware and a bus driver read it.
//!
//! Offsets and bits are those of the PCI Local Bus Specification 3.0 (chapter 6), the PCI Express Base Specification
//! (chapter 7) and the PCI Bus Power Management Interface Specification.

use super::PciFunction;

/// Command register, offset 4.
pub const COMMAND: u16 = 0x04;
/// Command bit: BARs answer.
pub const COMMAND_MEMORY: u16 = 1 << 1;
/// Command bit: the function may read and write memory, and send messages.
pub const COMMAND_MASTER: u16 = 1 << 2;
/// Command bit: the interrupt line stays released.
pub const COMMAND_INTX_DISABLE: u16 = 1 << 10;

const BAR0: u16 = 0x10;
const CAPABILITIES: u16 = 0x34;
const INTERRUPT_LINE: u16 = 0x3C;
const INTERRUPT_PIN: u16 = 0x3D;
const CAPABILITY_POWER: u8 = 0x01;
const CAPABILITY_MSI: u8 = 0x05;
const CAPABILITY_MSIX: u8 = 0x11;

/// Who a function says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Vendor.
    pub vendor: u16,
    /// Device.
    pub device: u16,
    /// Revision.
    pub revision: u8,
    /// Base class, sub-class, programming interface.
    pub class: u32,
    /// Subsystem id in the high half, subsystem vendor in the low half.
    pub subsystem: u32,
}

/// One memory BAR after sizing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// Its index; of a 64-bit pair the lower one.
    pub index: u8,
    /// Size in bytes, a power of two.
    pub size: u64,
    /// Takes two registers.
    pub wide: bool,
    /// Reads have no side effects.
    pub prefetchable: bool,
    /// Where it was put.
    pub base: u64,
}

/// The function's message capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Messages {
    /// No message signalled interrupts.
    None,
    /// MSI: capability offset, messages the function can tell apart.
    Msi {
        /// Offset of the capability.
        capability: u16,
        /// 1, 2, 4 … 32.
        count: u16,
    },
    /// MSI-X: a table in a BAR.
    MsiX {
        /// Offset of the capability.
        capability: u16,
        /// Table entries.
        count: u16,
        /// BAR that holds the table.
        table_bar: u8,
        /// Offset of the table in it.
        table: u64,
    },
}

/// Reads the identity; `None` where no function answers (vendor all ones).
pub fn identity(function: &mut dyn PciFunction) -> Option<Identity> {
    let id = function.config_read(0, 4);
    if id & 0xFFFF == 0xFFFF {
        return None;
    }
    let class = function.config_read(8, 4);
    Some(Identity {
        vendor: low(id),
        device: low(id >> 16),
        revision: class.to_le_bytes()[0],
        class: class >> 8,
        subsystem: function.config_read(0x2C, 4),
    })
}

/// Sizes every BAR by writing all ones, with memory decoding off.
///
/// # Errors
/// What is wrong with the function, in words: an I/O BAR, a size that is no power of two, or one that its own
/// [`PciFunction::bar_sizes`] contradicts.
pub fn size_bars(function: &mut dyn PciFunction) -> Result<Vec<Bar>, String> {
    let command = function.config_read(COMMAND, 2);
    function.config_write(COMMAND, 2, command & !u32::from(COMMAND_MEMORY));
    let mut bars = Vec::new();
    let mut index: u8 = 0;
    while index < 6 {
        let at = BAR0 + 4 * u16::from(index);
        let before = function.config_read(at, 4);
        function.config_write(at, 4, u32::MAX);
        let low = function.config_read(at, 4);
        function.config_write(at, 4, before);
        if low == 0 {
            index += 1;
            continue;
        }
        if low & 1 != 0 {
            return Err(format!(
                "{}: BAR {index} is an I/O BAR; this machine has memory BARs only",
                function.name()
            ));
        }
        let wide = low & 0b110 == 0b100;
        let mut mask = u64::from(low & !0xF) | 0xFFFF_FFFF_0000_0000;
        if wide && index < 5 {
            let above = function.config_read(at + 4, 4);
            function.config_write(at + 4, 4, u32::MAX);
            mask = u64::from(low & !0xF) | u64::from(function.config_read(at + 4, 4)) << 32;
            function.config_write(at + 4, 4, above);
        }
        let size = (!mask).wrapping_add(1);
        let declared = function.bar_sizes().get(usize::from(index)).copied().unwrap_or(0);
        if !size.is_power_of_two() || size != declared {
            return Err(format!(
                "{}: sizing BAR {index} gives {size:#x} bytes, the function declares {declared:#x}",
                function.name()
            ));
        }
        bars.push(Bar { index, size, wide, prefetchable: low & 8 != 0, base: 0 });
        index += if wide { 2 } else { 1 };
    }
    function.config_write(COMMAND, 2, command);
    Ok(bars)
}

/// Writes a BAR's base.
pub fn place_bar(function: &mut dyn PciFunction, bar: &Bar) {
    let at = BAR0 + 4 * u16::from(bar.index);
    let [low, high] = [bar.base & 0xFFFF_FFFF, bar.base >> 32].map(|half| u32::try_from(half).unwrap_or(0));
    function.config_write(at, 4, low);
    if bar.wide {
        function.config_write(at + 4, 4, high);
    }
}

/// Whether a BAR holds the base it was given: one that lost it answers nowhere.
pub fn is_placed(function: &mut dyn PciFunction, bar: &Bar) -> bool {
    let at = BAR0 + 4 * u16::from(bar.index);
    let high = if bar.wide { u64::from(function.config_read(at + 4, 4)) << 32 } else { 0 };
    high | u64::from(function.config_read(at, 4) & !0xF) == bar.base
}

/// Offset of the capability `id`, found by a walk of at most 48 links.
pub fn capability(function: &mut dyn PciFunction, id: u8) -> Option<u16> {
    let mut at = u16::from(byte(function, CAPABILITIES) & !3);
    for _ in 0..48 {
        if at < 0x40 {
            return None;
        }
        if byte(function, at) == id {
            return Some(at);
        }
        at = u16::from(byte(function, at + 1) & !3);
    }
    None
}

/// The best message capability: MSI-X before MSI, as the PCI bus driver prefers it.
pub fn messages(function: &mut dyn PciFunction) -> Messages {
    if let Some(capability) = capability(function, CAPABILITY_MSIX) {
        let control = function.config_read(capability + 2, 2);
        let table = function.config_read(capability + 4, 4);
        return Messages::MsiX {
            capability,
            count: low(control & 0x7FF) + 1,
            table_bar: table.to_le_bytes()[0] & 7,
            table: u64::from(table & !7),
        };
    }
    if let Some(capability) = capability(function, CAPABILITY_MSI) {
        let control = function.config_read(capability + 2, 2);
        return Messages::Msi { capability, count: 1 << ((control >> 1) & 7).min(5) };
    }
    Messages::None
}

/// The interrupt pin: 1 is INTA; 0 is none.
pub fn interrupt_pin(function: &mut dyn PciFunction) -> u8 {
    byte(function, INTERRUPT_PIN)
}

/// Firmware's note to the driver which line the pin is routed to.
pub fn set_interrupt_line(function: &mut dyn PciFunction, line: u8) {
    function.config_write(INTERRUPT_LINE, 1, u32::from(line));
}

/// Programs the messages: MSI-X entries through the BAR (masked), or the MSI registers.
/// Each pair is the address and the data of one message; an MSI function gets the first.
pub fn program_messages(function: &mut dyn PciFunction, kind: Messages, pairs: &[(u64, u32)]) {
    match kind {
        Messages::None => {}
        Messages::MsiX { capability, count, table_bar, table } => {
            // Masked as a whole while entries change, as the PCI specification asks (6.8.3.1).
            function.config_write(capability + 2, 2, 0xC000);
            // Entries beyond the granted messages repeat the last one: the function may name any of its entries.
            let padded = (0..usize::from(count)).filter_map(|entry| pairs.get(entry).or(pairs.last()));
            for (entry, (address, data)) in (0_u64..).zip(padded) {
                let at = table + entry * 16;
                function.mmio_write(table_bar, at, 4, address & 0xFFFF_FFFF);
                function.mmio_write(table_bar, at + 4, 4, address >> 32);
                function.mmio_write(table_bar, at + 8, 4, u64::from(*data));
                function.mmio_write(table_bar, at + 12, 4, 1);
            }
            function.config_write(capability + 2, 2, 0x8000);
        }
        Messages::Msi { capability, .. } => {
            let Some((address, data)) = pairs.first() else { return };
            let control = function.config_read(capability + 2, 2);
            let [low, high] =
                [address & 0xFFFF_FFFF, address >> 32].map(|half| u32::try_from(half).unwrap_or(0));
            function.config_write(capability + 4, 4, low);
            let data_at = if control & 0x80 != 0 {
                function.config_write(capability + 8, 4, high);
                capability + 12
            } else {
                capability + 8
            };
            function.config_write(data_at, 2, *data & 0xFFFF);
            let enabled = pairs.len().next_power_of_two().trailing_zeros();
            function.config_write(capability + 2, 2, (control & !0x70) | enabled << 4);
        }
    }
}

/// Masks or unmasks one message: the vector control bit of MSI-X, the enable bit of MSI.
pub fn mask_message(function: &mut dyn PciFunction, kind: Messages, message: u16, masked: bool) {
    match kind {
        Messages::None => {}
        Messages::MsiX { table_bar, table, .. } => {
            function.mmio_write(table_bar, table + u64::from(message) * 16 + 12, 4, u64::from(masked));
        }
        Messages::Msi { capability, .. } => {
            let control = function.config_read(capability + 2, 2);
            function.config_write(capability + 2, 2, (control & !1) | u32::from(!masked));
        }
    }
}

/// Turns messages off, which brings the line back.
pub fn disable_messages(function: &mut dyn PciFunction, kind: Messages) {
    match kind {
        Messages::None => {}
        Messages::MsiX { capability, .. } => function.config_write(capability + 2, 2, 0),
        Messages::Msi { capability, .. } => {
            mask_message(function, Messages::Msi { capability, count: 1 }, 0, true)
        }
    }
}

/// Sets the D-state (0 to 3) in the power management capability; says whether there is one.
pub fn set_power(function: &mut dyn PciFunction, state: u8) -> bool {
    let Some(at) = capability(function, CAPABILITY_POWER) else { return false };
    let control = function.config_read(at + 4, 2);
    function.config_write(at + 4, 2, (control & !3) | u32::from(state & 3));
    true
}

fn byte(function: &mut dyn PciFunction, at: u16) -> u8 {
    function.config_read(at, 1).to_le_bytes()[0]
}

fn low(value: u32) -> u16 {
    let [a, b, ..] = value.to_le_bytes();
    u16::from_le_bytes([a, b])
}
