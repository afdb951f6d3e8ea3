//! CHANERR: why a channel halted (§2.8). CHANERRMASK and, in configuration space, CHANERR_INT have the same bits.

use core::fmt;

/// A set of CHANERR bits.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct ChanErr(pub u32);

/// One CHANERR bit: its number, name and meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorBit {
    /// Bit number, 0 to 27.
    pub bit: u8,
    /// Short name, as printed in logs and accepted in fault plans.
    pub name: &'static str,
    /// One line for people.
    pub text: &'static str,
}

macro_rules! error_bits {
    ($($bit:literal $constant:ident $name:literal $text:literal;)*) => {
        impl ChanErr {
            $(#[doc = concat!("Bit ", stringify!($bit), ": ", $text, ".")]
            pub const $constant: Self = Self(1 << $bit);)*

            /// Every bit that has a meaning, in order.
            pub const ALL: &'static [ErrorBit] =
                &[$(ErrorBit { bit: $bit, name: $name, text: $text },)*];
        }
    };
}

error_bits! {
    0 SOURCE_ADDRESS "source-address" "the source address could not be read";
    1 DESTINATION_ADDRESS "destination-address" "the destination address could not be written";
    2 NEXT_ADDRESS "next-address" "the next descriptor could not be fetched";
    3 DESCRIPTOR "descriptor" "the next descriptor's address is not a multiple of 64";
    4 CHAIN_ADDRESS "chain-address" "the value in CHAINADDR is not a descriptor address";
    5 COMMAND "command" "more than one command was given at once";
    6 CHIPSET_INTEGRITY "chipset-integrity" "the chipset saw a parity error";
    7 DMA_INTEGRITY "dma-integrity" "the engine saw a parity error";
    8 READ_DATA "read-data" "data read from memory was bad";
    9 WRITE_DATA "write-data" "data written to memory went bad";
    10 CONTROL "control" "the descriptor's operation or flags are not supported";
    11 LENGTH "length" "the descriptor's size is zero or above the engine's limit";
    12 COMPLETION_ADDRESS "completion-address" "the completion word could not be written";
    13 INTERRUPT_CONFIGURATION "interrupt-configuration" "the interrupt is configured wrongly";
    14 SOFT "soft" "soft error, or a bad super-extended descriptor address";
    15 UNAFFILIATED "unaffiliated" "an error that belongs to no descriptor";
    16 CRC_XOR_P "crc-xor-p" "CRC, XOR or P validation failed";
    17 Q "q" "Q validation failed";
    18 COUNT "count" "an extended descriptor goes beyond the count";
    19 DIF_ALL_F "dif-all-f" "source integrity field is all ones";
    20 DIF_GUARD "dif-guard" "source guard tag is wrong";
    21 DIF_APPLICATION "dif-application" "source application tag is wrong";
    22 DIF_REFERENCE "dif-reference" "source reference tag is wrong";
    23 BUNDLE "bundle" "the bundle bit is used wrongly";
    24 RESULT_DIF_ALL_F "result-dif-all-f" "result integrity field is all ones";
    25 RESULT_DIF_GUARD "result-dif-guard" "result guard tag is wrong";
    26 RESULT_DIF_APPLICATION "result-dif-application" "result application tag is wrong";
    27 RESULT_DIF_REFERENCE "result-dif-reference" "result reference tag is wrong";
}

impl ChanErr {
    /// What a removed device reads as (H36).
    pub const GONE: Self = Self(u32::MAX);

    /// No bit is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Every bit of `other` is set here too.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits set in either.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The named bits that are set, lowest first.
    pub fn bits(self) -> impl Iterator<Item = &'static ErrorBit> {
        Self::ALL.iter().filter(move |error| self.0 & (1u32.wrapping_shl(u32::from(error.bit))) != 0)
    }
}

impl ErrorBit {
    /// The bit called `name`, if there is one.
    pub fn named(name: &str) -> Option<&'static Self> {
        ChanErr::ALL.iter().find(|error| error.name == name)
    }
}

/// `0x00000101 (source-address, read-data)`.
impl fmt::Display for ChanErr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)?;
        if *self == Self::GONE {
            return f.write_str(" (device gone)");
        }
        for (position, error) in self.bits().enumerate() {
            f.write_str(if position == 0 { " (" } else { ", " })?;
            f.write_str(error.name)?;
        }
        if self.bits().next().is_some() { f.write_str(")") } else { Ok(()) }
    }
}

impl fmt::Debug for ChanErr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::format;

    #[test]
    fn bits_are_numbered_without_gaps() {
        for (position, error) in ChanErr::ALL.iter().enumerate() {
            assert_eq!(usize::from(error.bit), position, "{}", error.name);
        }
        assert_eq!(ChanErr::ALL.len(), 28);
    }

    #[test]
    fn an_error_prints_its_names() {
        assert_eq!(format!("{}", ChanErr(0x101)), "0x00000101 (source-address, read-data)");
        assert_eq!(format!("{}", ChanErr(0)), "0x00000000");
        assert_eq!(format!("{}", ChanErr::GONE), "0xffffffff (device gone)");
    }
}
