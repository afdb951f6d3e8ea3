//! The completion word (spec 2.8, 3.12): one aligned 64-bit store by the engine, the address of the last processed
//! descriptor with a [`TransferStatus`] in its low bits.

/// `NET_DMA_TRANSFER_STATUS_MASK`: the status part of the word (header; pages speak of six free bits, Q1).
#[doc(alias = "NET_DMA_TRANSFER_STATUS_MASK")]
pub const TRANSFER_STATUS_MASK: u64 = 0x7;

/// The low bits that never belong to the address: status in 2..0, zero in 5..3 on write and ignored on read (Q1).
pub const ADDRESS_FREE_BITS: u64 = 0x3F;

/// `NET_DMA_TRANSFER_STATUS`: what the word says about the channel. Equal to the CB channel status.
#[doc(alias = "NET_DMA_TRANSFER_STATUS")]
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransferStatus {
    /// `NetDmaTransferStatusActive`: the named descriptor is done, more remain.
    #[doc(alias = "NetDmaTransferStatusActive")]
    Active = 0,
    /// `NetDmaTransferStatusIdle`: the named descriptor is done and was the last posted one.
    #[doc(alias = "NetDmaTransferStatusIdle")]
    Idle = 1,
    /// `NetDmaTransferStatusSuspend`: the named descriptor is done; the channel is suspended on request.
    #[doc(alias = "NetDmaTransferStatusSuspend")]
    Suspend = 2,
    /// `NetDmaTransferStatusHalted`: ended by an engine error, an abort or a reset.
    #[doc(alias = "NetDmaTransferStatusHalted")]
    Halted = 3,
    /// `NetDmaTransferStatusArmed`: nothing done since the start; the address means nothing (R151).
    #[doc(alias = "NetDmaTransferStatusArmed")]
    Armed = 4,
}

impl TransferStatus {
    /// The status part of a word; `None` for the unassigned values 5, 6 and 7.
    #[must_use]
    pub const fn of(word: u64) -> Option<Self> {
        match word & TRANSFER_STATUS_MASK {
            0 => Some(Self::Active),
            1 => Some(Self::Idle),
            2 => Some(Self::Suspend),
            3 => Some(Self::Halted),
            4 => Some(Self::Armed),
            _ => None,
        }
    }
}

/// The address part of a word (R150).
#[must_use]
pub const fn address(word: u64) -> u64 {
    word & !ADDRESS_FREE_BITS
}

/// The word that reports `status` at the descriptor at `address`.
#[must_use]
pub const fn word(address: u64, status: TransferStatus) -> u64 {
    (address & !ADDRESS_FREE_BITS) | status as u64
}

/// The completion word that the interface stores before each start (Q11, R161): status Armed, address 0.
pub const ARMED: u64 = word(0, TransferStatus::Armed);
