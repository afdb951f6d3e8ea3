//! What a device offers to the machine, and what the machine offers to a device.
//!
//! The machine knows nothing of any particular device. A function answers configuration space and BAR accesses at
//! once; everything that takes time or touches memory (descriptors, messages) happens in [`PciFunction::step`], which
//! the scheduler calls between two steps of the processors, so that device progress interleaves with theirs.

/// One PCI Express function: its configuration space, its BARs, its work.
///
/// Widths are in bytes: 1, 2 or 4 in configuration space, 1, 2, 4 or 8 in a BAR. Offsets are naturally aligned for
/// their width; the machine reports accesses that are not before a function sees them.
pub trait PciFunction: Send {
    /// A name for messages, for example `engine 0`.
    fn name(&self) -> String;

    /// Reads configuration space (offset 0 to 0xFFF). Registers that do not exist read as zero.
    fn config_read(&mut self, offset: u16, width: u8) -> u32;

    /// Writes configuration space. The function keeps its own read-only and write-one-to-clear bits.
    fn config_write(&mut self, offset: u16, width: u8, value: u32);

    /// The size in bytes of each BAR, zero where there is none; a 64-bit BAR counts at its lower index.
    ///
    /// Only a cross-check: the machine sizes BARs the way firmware does, by writing all ones.
    fn bar_sizes(&self) -> [u64; 6];

    /// Reads `width` bytes at `offset` of the BAR with index `bar` (the lower index of a 64-bit pair).
    fn mmio_read(&mut self, bar: u8, offset: u64, width: u8) -> u64;

    /// Writes `width` bytes at `offset` of the BAR with index `bar`.
    fn mmio_write(&mut self, bar: u8, offset: u64, width: u8, value: u64);

    /// Does one small piece of work (about one descriptor, one message) and says whether there was anything to do.
    fn step(&mut self, bus: &mut dyn BusMaster) -> Progress;

    /// Back to the state after power-on (fundamental reset, D3cold): BARs unassigned, interrupts off, work forgotten.
    fn reset(&mut self);
}

/// What [`PciFunction::step`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Something was done; more may follow.
    Worked,
    /// Nothing to do until a register is written.
    Idle,
    /// Nothing to do before this machine time (nanoseconds, [`BusMaster::now`]).
    Until(u64),
}

/// The machine as a bus-mastering function sees it.
///
/// Addresses are bus addresses: physical ones, or what the remapping hardware makes of them when it is on.
pub trait BusMaster {
    /// Reads memory into `bytes`.
    ///
    /// # Errors
    /// [`BusFault`] where nothing answers; `bytes` is then filled with ones, as a root complex does.
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), BusFault>;

    /// Writes `bytes` to memory.
    ///
    /// # Errors
    /// [`BusFault`] where nothing answers; nothing is written then.
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), BusFault>;

    /// Writes the eight bytes of `value` in one store that no processor sees halfway.
    ///
    /// # Errors
    /// [`BusFault`] where nothing answers or when `address` is no multiple of eight.
    fn store(&mut self, address: u64, value: u64) -> Result<(), BusFault>;

    /// A message signalled interrupt: the memory write that the MSI or MSI-X entry describes.
    fn message(&mut self, address: u64, data: u32);

    /// Drives the function's interrupt line (INTx): `true` asserts it, `false` releases it.
    fn line(&mut self, asserted: bool);

    /// Machine time in nanoseconds since power-on.
    fn now(&self) -> u64;
}

/// A bus access that nothing answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusFault {
    /// The bus address of the first byte that failed.
    pub address: u64,
}

impl core::fmt::Display for BusFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "no memory answers at bus address {:#x}", self.address)
    }
}

impl core::error::Error for BusFault {}
