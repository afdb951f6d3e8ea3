//! The engine model as a function of the hosted machine.
//!
//! Neither crate knows the other: the machine has [`PciFunction`] and [`BusMaster`], the model [`Engine`] and
//! [`Host`]. This file joins them and keeps a second handle on the engine, so that a test can read the engine's own
//! counters while the machine owns the function.

use std::sync::{Arc, Mutex, MutexGuard};

use ioat_model::{BadOptions, ChannelStatistics, Engine, FunctionStatistics, Host, Options};
use nthost::pci::{BusMaster, PciFunction};

/// A handle on an engine that is plugged into a machine.
#[derive(Clone)]
pub struct EngineHandle {
    name: String,
    engine: Arc<Mutex<Engine>>,
}

impl EngineHandle {
    /// An engine just powered on; `name` is what messages call it.
    ///
    /// # Errors
    /// [`BadOptions`] when no engine can be as `options` says.
    pub fn new(name: impl Into<String>, options: Options) -> Result<Self, BadOptions> {
        Ok(Self { name: name.into(), engine: Arc::new(Mutex::new(Engine::new(options)?)) })
    }

    /// What goes into a slot of the machine.
    pub fn function(&self) -> Box<dyn PciFunction> {
        Box::new(self.clone())
    }

    /// What messages call the engine.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the function has done, its channels apart.
    pub fn statistics(&self) -> FunctionStatistics {
        self.engine().statistics()
    }

    /// What channel `number` has done; zeros when there is no such channel.
    pub fn channel(&self, number: u8) -> ChannelStatistics {
        self.engine().channel_statistics(number).copied().unwrap_or_default()
    }

    /// Runs `work` on the engine itself.
    pub fn with<R>(&self, work: impl FnOnce(&mut Engine) -> R) -> R {
        work(&mut self.engine())
    }

    fn engine(&self) -> MutexGuard<'_, Engine> {
        // A panic inside the engine has been reported by then; its counters are still worth reading.
        self.engine.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl std::fmt::Debug for EngineHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineHandle").field("name", &self.name).finish_non_exhaustive()
    }
}

impl PciFunction for EngineHandle {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn config_read(&mut self, offset: u16, width: u8) -> u32 {
        self.engine().config_read(offset, width)
    }

    fn config_write(&mut self, offset: u16, width: u8, value: u32) {
        self.engine().config_write(offset, width, value);
    }

    fn bar_sizes(&self) -> [u64; 6] {
        [u64::from(self.engine().bar_size()), 0, 0, 0, 0, 0]
    }

    fn mmio_read(&mut self, bar: u8, offset: u64, width: u8) -> u64 {
        match (bar, u32::try_from(offset)) {
            (0, Ok(offset)) => self.engine().mmio_read(offset, width),
            // There is no other BAR: nothing answers.
            _ => u64::MAX >> (64 - 8 * u32::from(width.clamp(1, 8))),
        }
    }

    fn mmio_write(&mut self, bar: u8, offset: u64, width: u8, value: u64) {
        if let (0, Ok(offset)) = (bar, u32::try_from(offset)) {
            self.engine().mmio_write(offset, width, value);
        }
    }

    fn step(&mut self, bus: &mut dyn BusMaster) -> nthost::pci::Progress {
        match self.engine().step(&mut Bench(bus)) {
            ioat_model::Progress::Worked => nthost::pci::Progress::Worked,
            ioat_model::Progress::Idle => nthost::pci::Progress::Idle,
            ioat_model::Progress::Until(time) => nthost::pci::Progress::Until(time),
        }
    }

    fn reset(&mut self) {
        self.engine().reset();
    }
}

/// The machine's bus as the engine's bench.
struct Bench<'a>(&'a mut dyn BusMaster);

impl Host for Bench<'_> {
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), ioat_model::BusFault> {
        self.0.read(address, bytes).map_err(fault)
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), ioat_model::BusFault> {
        self.0.write(address, bytes).map_err(fault)
    }

    fn store(&mut self, address: u64, value: u64) -> Result<(), ioat_model::BusFault> {
        self.0.store(address, value).map_err(fault)
    }

    fn message(&mut self, address: u64, data: u32) {
        self.0.message(address, data);
    }

    fn line(&mut self, asserted: bool) {
        self.0.line(asserted);
    }

    fn now(&mut self) -> u64 {
        self.0.now()
    }
}

fn fault(fault: nthost::pci::BusFault) -> ioat_model::BusFault {
    ioat_model::BusFault { address: fault.address }
}
