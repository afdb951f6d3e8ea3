//! An engine that is watched: every access of its registers and of its configuration space is written down in order, and
//! reads can be made to answer something else than the engine would.

use std::sync::{Arc, Mutex, MutexGuard};

use nthost::pci::{BusMaster, PciFunction, Progress};

use crate::engine::EngineHandle;

/// Where an access goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// Configuration space.
    Config,
    /// BAR0.
    Registers,
}

/// One access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Where it went.
    pub space: Space,
    /// Offset in that space.
    pub offset: u32,
    /// Bytes.
    pub width: u8,
    /// It was a write.
    pub is_write: bool,
    /// What was written, or what the read was answered.
    pub value: u64,
}

/// What a test sees of a watched engine, and how it changes answers. Clones are the same watch.
#[derive(Debug, Clone, Default)]
pub struct Watch(Arc<Mutex<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    accesses: Vec<Access>,
    answers: Vec<(Space, u32, u64)>,
}

impl Watch {
    /// The accesses so far, in order.
    #[must_use]
    pub fn accesses(&self) -> Vec<Access> {
        self.notes().accesses.clone()
    }

    /// Forgets the accesses so far.
    pub fn clear(&self) {
        self.notes().accesses.clear();
    }

    /// From now on a read that begins at `offset` is answered with the low bytes of `value`.
    pub fn answer(&self, space: Space, offset: u32, value: u64) {
        self.notes().answers.push((space, offset, value));
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn read(&self, space: Space, offset: u32, width: u8, real: u64) -> u64 {
        let mut notes = self.notes();
        let changed = notes.answers.iter().rev().find(|(place, at, _)| (*place, *at) == (space, offset));
        let value = changed.map_or(real, |(.., value)| value & (u64::MAX >> (64 - 8 * u32::from(width))));
        notes.accesses.push(Access { space, offset, width, is_write: false, value });
        value
    }

    fn write(&self, space: Space, offset: u32, width: u8, value: u64) {
        self.notes().accesses.push(Access { space, offset, width, is_write: true, value });
    }
}

/// The watched engine: what goes into a slot of the machine.
#[derive(Debug)]
pub struct Watched {
    engine: EngineHandle,
    watch: Watch,
}

impl Watched {
    /// `engine` under `watch`.
    #[must_use]
    pub fn new(engine: EngineHandle, watch: Watch) -> Self {
        Self { engine, watch }
    }
}

impl PciFunction for Watched {
    fn name(&self) -> String {
        PciFunction::name(&self.engine)
    }

    fn config_read(&mut self, offset: u16, width: u8) -> u32 {
        let real = self.engine.config_read(offset, width);
        self.watch.read(Space::Config, offset.into(), width, real.into()) as u32
    }

    fn config_write(&mut self, offset: u16, width: u8, value: u32) {
        self.watch.write(Space::Config, offset.into(), width, value.into());
        self.engine.config_write(offset, width, value);
    }

    fn bar_sizes(&self) -> [u64; 6] {
        self.engine.bar_sizes()
    }

    fn mmio_read(&mut self, bar: u8, offset: u64, width: u8) -> u64 {
        let real = self.engine.mmio_read(bar, offset, width);
        self.watch.read(Space::Registers, offset as u32, width, real)
    }

    fn mmio_write(&mut self, bar: u8, offset: u64, width: u8, value: u64) {
        self.watch.write(Space::Registers, offset as u32, width, value);
        self.engine.mmio_write(bar, offset, width, value);
    }

    fn step(&mut self, bus: &mut dyn BusMaster) -> Progress {
        self.engine.step(bus)
    }

    fn reset(&mut self) {
        self.engine.reset();
    }
}
