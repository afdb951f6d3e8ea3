//! The machine as the driver sees it: registers, configuration space, time.

use ioat_regs::limits;

/// The registers in BAR0. Offsets are from its start.
///
/// Every access has exactly the width its name says and is done once, in program order, uncached (H8). An offset
/// outside the BAR, or a device that has left, reads as all-ones; such writes are dropped.
pub trait Registers {
    /// Reads 8 bits.
    fn read8(&self, offset: u32) -> u8;
    /// Reads 16 bits.
    fn read16(&self, offset: u32) -> u16;
    /// Reads 32 bits.
    fn read32(&self, offset: u32) -> u32;
    /// Reads 64 bits in one access. Only where [`halves_only`](ioat_regs::Quirks::halves_only) is clear.
    fn read64(&self, offset: u32) -> u64;
    /// Writes 8 bits.
    fn write8(&self, offset: u32, value: u8);
    /// Writes 16 bits.
    fn write16(&self, offset: u32, value: u16);
    /// Writes 32 bits.
    fn write32(&self, offset: u32, value: u32);
    /// Writes 64 bits in one access. Only where [`halves_only`](ioat_regs::Quirks::halves_only) is clear.
    fn write64(&self, offset: u32, value: u64);
}

/// PCI configuration space of the function, the extended part included. Usable up to DISPATCH_LEVEL.
pub trait PciConfig {
    /// Reads the 16 bits at `offset`; `None` when the platform cannot reach them.
    fn read16(&self, offset: u16) -> Option<u16>;
    /// Writes the 16 bits at `offset`; `None` when the platform cannot reach them.
    fn write16(&self, offset: u16, value: u16) -> Option<()>;
    /// Reads the 32 bits at `offset`; `None` when the platform cannot reach them (beyond 0xFF that is normal in a
    /// virtual machine, H5).
    fn read32(&self, offset: u16) -> Option<u32>;
    /// Writes the 32 bits at `offset`; `None` when the platform cannot reach them.
    fn write32(&self, offset: u16, value: u32) -> Option<()>;
}

/// Time, and how much of it may be spent where the caller stands.
pub trait Clock {
    /// What a wait may cost here. It follows from the IRQL, so each IRQL has its own clock.
    const PATIENCE: Patience;

    /// Microseconds since some fixed moment.
    fn now_us(&self) -> u64;
    /// Lets at least `us` microseconds pass. Never called with more than [`Patience::pause_us`].
    fn pause_us(&self, us: u32);
}

/// How long the engine is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a suspend or an abort, in microseconds.
    pub stop_us: u32,
    /// For a reset, in microseconds.
    pub reset_us: u32,
    /// Longest single pause between two looks, in microseconds.
    pub pause_us: u32,
}

impl Patience {
    /// At DISPATCH_LEVEL: a stop and a reset together take no more than 50 µs (D18).
    pub const DISPATCH: Self = Self { stop_us: 20, reset_us: 30, pause_us: 1 };
    /// At PASSIVE_LEVEL: the limits of the hardware (H9).
    pub const PASSIVE: Self =
        Self { stop_us: limits::SUSPEND_US, reset_us: limits::RESET_US, pause_us: 1000 };
}

/// How long a wait looks every microsecond before it begins to pause for longer: what a healthy engine needs.
const EAGER_US: u32 = 50;

/// Looks until `look` finds something or `limit_us` has passed; looks once more after the last pause.
///
/// Ends in any case: pauses are counted too, so a clock that stands still cannot make it hang.
pub fn wait_for<C: Clock, T>(clock: &C, limit_us: u32, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = clock.now_us();
    let mut paused = 0u32;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if paused >= limit_us || clock.now_us().saturating_sub(begin) >= u64::from(limit_us) {
            return None;
        }
        let pause = if paused < EAGER_US { 1 } else { C::PATIENCE.pause_us };
        clock.pause_us(pause);
        paused = paused.saturating_add(pause);
    }
}

/// One engine and the time to talk to it: what every procedure here is given.
#[derive(Debug)]
pub struct Hardware<'a, R, P, C> {
    /// BAR0.
    pub registers: &'a R,
    /// Configuration space.
    pub config: &'a P,
    /// Time at the caller's IRQL.
    pub clock: C,
}
