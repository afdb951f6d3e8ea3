//! What an engine needs from the bench it is plugged into.

use std::fmt;

/// Memory, messages, the interrupt line and time, as the engine sees them.
///
/// Addresses are bus addresses. A transfer may cross any page boundary; splitting it where the bench's mappings
/// end is the bench's business. The engine calls these only from [`Engine::step`](crate::Engine::step) and
/// [`Engine::settle`](crate::Engine::settle).
pub trait Host {
    /// Reads memory.
    ///
    /// # Errors
    /// [`BusFault`] when nothing answers somewhere in the range; what `bytes` then holds is of no matter.
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), BusFault>;

    /// Writes memory.
    ///
    /// # Errors
    /// [`BusFault`] when nothing answers somewhere in the range; a part before that may have been written.
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), BusFault>;

    /// Writes eight bytes at an address that is a multiple of eight, so that no reader sees half of them and every
    /// earlier write is seen first.
    ///
    /// # Errors
    /// [`BusFault`] when nothing answers.
    fn store(&mut self, address: u64, value: u64) -> Result<(), BusFault>;

    /// Sends a message signalled interrupt.
    fn message(&mut self, address: u64, data: u32);

    /// Sets the level of the interrupt line. Called when it changes.
    fn line(&mut self, asserted: bool);

    /// Nanoseconds since some fixed moment. Never goes back.
    fn now(&mut self) -> u64;
}

/// A memory access that nothing answered: unmapped, refused by an IOMMU, or beyond the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusFault {
    /// The address of the first byte that failed.
    pub address: u64,
}

impl fmt::Display for BusFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no memory answers at bus address {:#x}", self.address)
    }
}

impl std::error::Error for BusFault {}

/// What a step found to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Something was done; there may be more.
    Worked,
    /// Nothing to do until the next register or configuration write.
    Idle,
    /// Nothing to do before this moment of [`Host::now`].
    Until(u64),
}
