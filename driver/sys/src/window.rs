//! Registers, configuration space and time, as ioat-core wants them.

use ioat_core::{Clock, Hardware, Patience, PciConfig, Registers};
use nt::irql::Passive;
use nt::pool::Arc;
use nt::thread;
use nt::time::{self, Duration, Instant, LONGEST_STALL};
use nt::{mmio, pci};

/// The device's registers while it has them, and its configuration space.
#[derive(Debug)]
pub struct Window {
    registers: mmio::Registers,
    config: Arc<pci::Config>,
}

impl Window {
    /// A window on mapped registers.
    pub const fn new(registers: mmio::Registers, config: Arc<pci::Config>) -> Self {
        Self { registers, config }
    }

    /// Everything a procedure needs, with the clock of the caller's IRQL.
    pub const fn hardware<C: Clock>(&self, clock: C) -> Hardware<'_, Self, Self, C> {
        Hardware { registers: self, config: self, clock }
    }
}

macro_rules! accessors {
    ($($read:ident $write:ident $from:ident $to:ident $type:ty;)+) => {
        impl Registers for Window {
            $(
                #[inline]
                fn $read(&self, offset: u32) -> $type {
                    self.registers.$from(offset as usize)
                }
                #[inline]
                fn $write(&self, offset: u32, value: $type) {
                    self.registers.$to(offset as usize, value);
                }
            )+
        }
    };
}
accessors! {
    read8 write8 read_u8 write_u8 u8;
    read16 write16 read_u16 write_u16 u16;
    read32 write32 read_u32 write_u32 u32;
    read64 write64 read_u64 write_u64 u64;
}

impl PciConfig for Window {
    fn read16(&self, offset: u16) -> Option<u16> {
        self.config.read_u16(offset.into()).ok()
    }

    fn write16(&self, offset: u16, value: u16) -> Option<()> {
        self.config.write_u16(offset.into(), value).ok()
    }

    fn read32(&self, offset: u16) -> Option<u32> {
        self.config.read_u32(offset.into()).ok()
    }

    fn write32(&self, offset: u16, value: u32) -> Option<()> {
        self.config.write_u32(offset.into(), value).ok()
    }
}

/// Time at DISPATCH_LEVEL or below, where nobody may sleep: 50 µs and no more (D18).
#[derive(Debug, Clone, Copy)]
pub struct Stall;

impl Clock for Stall {
    const PATIENCE: Patience = Patience::DISPATCH;

    fn now_us(&self) -> u64 {
        now_us()
    }

    fn pause_us(&self, us: u32) {
        time::stall(Duration::from_micros(us.into()));
    }
}

/// Time at PASSIVE_LEVEL: the full limits of the hardware.
#[derive(Debug, Clone, Copy)]
pub struct Sleep<'a>(pub &'a Passive);

impl Clock for Sleep<'_> {
    const PATIENCE: Patience = Patience::PASSIVE;

    fn now_us(&self) -> u64 {
        now_us()
    }

    fn pause_us(&self, us: u32) {
        let pause = Duration::from_micros(us.into());
        if pause <= LONGEST_STALL { time::stall(pause) } else { thread::sleep(pause, self.0) }
    }
}

fn now_us() -> u64 {
    Instant::now().ticks() / 10
}
