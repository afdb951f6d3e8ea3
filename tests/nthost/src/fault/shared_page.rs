//! The page that Windows shares with everybody at 0xFFFFF78000000000 (`KUSER_SHARED_DATA`).

use crate::kernel::Kernel;

/// Where drivers read it.
pub(crate) const ADDRESS: u64 = 0xFFFF_F780_0000_0000;
/// Its length.
pub(crate) const LENGTH: u64 = 0x1000;

/// The machine passes for this build: Windows 10 2004, the oldest the project serves.
pub(crate) const VERSION: (u32, u32, u32) = (10, 0, 19041);

impl Kernel {
    /// The `width` bytes at `offset`; fields that mean nothing here read as zero.
    ///
    /// Offsets: Learn and ntddk.h, `KUSER_SHARED_DATA`.
    pub(crate) fn shared_page(&self, offset: u64, width: u8) -> u64 {
        let mut page = [0u8; LENGTH as usize];
        let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
        // A KSYSTEM_TIME is the low half and the high half twice.
        let time = |value: u64| {
            [value as u32, (value >> 32) as u32, (value >> 32) as u32].map(u32::to_le_bytes).concat()
        };
        put(0x04, &0x0FA0_0000u32.to_le_bytes());
        put(0x08, &time(self.now() / 100));
        put(0x14, &time(self.system_time()));
        put(0x260, &VERSION.2.to_le_bytes());
        put(0x26C, &VERSION.0.to_le_bytes());
        put(0x270, &VERSION.1.to_le_bytes());
        put(0x320, &time(self.now() / 15_625_000));
        put(0x3C0, &self.cpu_count().to_le_bytes());
        let at = offset as usize;
        let bytes = page.get(at..at + usize::from(width)).unwrap_or_default();
        bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
    }
}
