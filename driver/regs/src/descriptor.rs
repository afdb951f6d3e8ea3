//! The descriptor: 64 bytes, 64-byte aligned, little-endian, read by the engine from memory (ioat.md §3).
//!
//! | Byte | Field |
//! |---|---|
//! | 0x00 | size in bytes, 32 bits |
//! | 0x04 | [`Control`], 32 bits |
//! | 0x08 | source address (fill: the pattern) |
//! | 0x10 | destination address |
//! | 0x18 | address of the next descriptor, in every kind of descriptor |
//! | 0x20 | second source page, with [`Control::source_page_break`] |
//! | 0x28 | second destination page, with [`Control::destination_page_break`] |
//! | 0x30 | two words the engine neither reads nor writes in copy, null and fill |

use bitfield_struct::bitfield;

/// Size and alignment of a descriptor, in bytes.
pub const SIZE: usize = 64;
/// Size and alignment of the completion word, in bytes.
pub const COMPLETION_SIZE: usize = 8;
/// The pages that page breaks are about, in bytes (§3.4).
pub const PAGE_SIZE: u64 = 4096;

/// Byte offset of the size.
pub const LENGTH: usize = 0x00;
/// Byte offset of the control word.
pub const CONTROL: usize = 0x04;
/// Byte offset of the source address; in a fill, of the pattern.
pub const SOURCE: usize = 0x08;
/// Byte offset of the destination address.
pub const DESTINATION: usize = 0x10;
/// Byte offset of the next descriptor's address.
pub const NEXT: usize = 0x18;
/// Byte offset of the second source page's address.
pub const NEXT_SOURCE: usize = 0x20;
/// Byte offset of the second destination page's address.
pub const NEXT_DESTINATION: usize = 0x28;

/// The control word of copy, null and fill (§3.2).
///
/// XOR and PQ use bits 7:5 as a source count and bits above 10 differently: [`Control::source_count`].
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct Control {
    /// Interrupt when done. In a DCA context change of 2.0 the bit means "change" instead.
    pub interrupt: bool,
    /// Do not snoop the source.
    pub source_no_snoop: bool,
    /// Do not snoop the destination.
    pub destination_no_snoop: bool,
    /// Write the completion word when done.
    pub completion: bool,
    /// This one and everything before it is complete before the next one starts.
    pub fence: bool,
    /// Do nothing; complete like any other. With [`Opcode::COPY`] only.
    pub null: bool,
    /// The source goes on at the second source page's address when its 4 KiB page ends.
    pub source_page_break: bool,
    /// The destination goes on at the second destination page's address when its 4 KiB page ends.
    pub destination_page_break: bool,
    /// Stay with this channel for the next descriptor.
    pub bundle: bool,
    /// Write the destination through direct cache access.
    pub destination_dca: bool,
    /// Hint for direct cache access.
    pub dca_hint: bool,
    /// XOR and PQ: do not write P.
    pub no_p: bool,
    /// XOR and PQ: do not write Q.
    pub no_q: bool,
    #[bits(2)]
    __: u8,
    /// PQ validate: write the result into the descriptor.
    pub write_back: bool,
    /// PQ update's coefficient; bit 16 alone enables 16-source PQ.
    pub coefficient: u8,
    /// What to do, the value of an [`Opcode`].
    pub opcode: u8,
}

impl Control {
    /// XOR and PQ: number of listed sources, two more than bits 7:5 say (§3.7, §3.8).
    pub const fn source_count(self) -> u8 {
        ((self.into_bits() >> 5) & 0x7) as u8 + 2
    }
}

/// Operation codes, the top byte of the control word (§3.3). An open set: any byte can stand in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Opcode(pub u8);

impl Opcode {
    /// Copy, and null with [`Control::null`]. On every version.
    pub const COPY: Self = Self(0x00);
    /// Fill with a 64-bit pattern, with [`Capability::fill`](crate::Capability::fill).
    pub const FILL: Self = Self(0x01);
    /// Multicast copy.
    pub const MULTICAST: Self = Self(0x0A);
    /// Copy with CRC.
    pub const COPY_CRC: Self = Self(0x41);
    /// Copy with CRC, tested.
    pub const COPY_CRC_TEST: Self = Self(0x42);
    /// Copy with CRC, stored.
    pub const COPY_CRC_STORE: Self = Self(0x43);
    /// CRC.
    pub const CRC: Self = Self(0x81);
    /// CRC, tested.
    pub const CRC_TEST: Self = Self(0x82);
    /// CRC, stored.
    pub const CRC_STORE: Self = Self(0x83);
    /// Marker skipping.
    pub const MARKER_SKIP: Self = Self(0x84);
    /// XOR of hardware before 3.0.
    pub const OLD_XOR: Self = Self(0x85);
    /// XOR validate of hardware before 3.0.
    pub const OLD_XOR_VALIDATE: Self = Self(0x86);
    /// XOR.
    pub const XOR: Self = Self(0x87);
    /// XOR validate.
    pub const XOR_VALIDATE: Self = Self(0x88);
    /// P and Q.
    pub const PQ: Self = Self(0x89);
    /// P and Q, validated.
    pub const PQ_VALIDATE: Self = Self(0x8A);
    /// P and Q, updated.
    pub const PQ_UPDATE: Self = Self(0x8B);
    /// P and Q over 9 to 16 sources.
    pub const PQ16: Self = Self(0xA0);
    /// P and Q over 9 to 16 sources, validated.
    pub const PQ16_VALIDATE: Self = Self(0xA1);
    /// Change of the direct cache access context, 2.0: takes a slot and a count, moves nothing.
    pub const DCA_CONTEXT: Self = Self(0xFF);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Appendix A of the specification: bytes that real drivers write.
    #[test]
    fn control_words_equal_the_worked_examples() {
        let record = Control::new().with_completion(true);
        assert_eq!(record.with_null(true).with_interrupt(true).into_bits(), 0x29);
        assert_eq!(record.with_null(true).into_bits(), 0x28);
        assert_eq!(record.with_interrupt(true).into_bits(), 0x09);
        assert_eq!(record.with_opcode(Opcode::FILL.0).into_bits(), 0x0100_0008);
        assert_eq!(record.with_source_page_break(true).with_destination_page_break(true).into_bits(), 0xC8);
        assert_eq!(Control::from_bits(0x8700_0080).source_count(), 6);
        assert_eq!(Control::from_bits(0x8900_0020).source_count(), 3);
    }
}
