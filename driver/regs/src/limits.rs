//! Sizes and times that hold for every engine, unless said otherwise.

/// Most channels a function may have here: what the drivers of others accept (H3).
pub const MAX_CHANNELS: u8 = 4;
/// XFERCAP of the engines seen: 2^20 bytes per descriptor.
pub const XFERCAP: u8 = 20;
/// Least XFERCAP that is legal: 4 KiB per descriptor (§2.1).
pub const MIN_XFERCAP: u8 = 12;
/// Most bytes one descriptor is ever given, whatever XFERCAP says (H3).
pub const MAX_TRANSFER: u32 = 1 << XFERCAP;
/// Most descriptors that may be announced and not done: the counter is 16 bits wide and equality means "none"
/// (§4.2).
pub const MAX_WINDOW: u16 = u16::MAX;
/// Longest a suspend may take, in microseconds (H9).
pub const SUSPEND_US: u32 = 100_000;
/// Longest a reset may take, in microseconds (H9).
pub const RESET_US: u32 = 200_000;
/// Longest the first null descriptor may take, in microseconds (H15).
pub const FIRST_NULL_US: u32 = 10_000;
/// How long 1.2 needs after a reset before memory may be freed, in microseconds: no driver relies on the command
/// bit there (H43).
pub const RESET_SETTLE_V1_US: u32 = 100_000;
