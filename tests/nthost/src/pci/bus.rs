//! The root bus: who sits where, register windows, bus mastering, messages and lines.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use super::config::{
    self, Bar, COMMAND, COMMAND_INTX_DISABLE, COMMAND_MASTER, COMMAND_MEMORY, Identity, Messages,
};
use super::interrupt::Vectors;
use super::{BusFault, BusMaster, PciFunction, Progress};
use crate::cpu::{Device, DeviceId};
use crate::guarded::Guarded;
use crate::kernel::Kernel;
use crate::memory::dma::DmaDomain;
use crate::memory::mmio::Mmio;

/// Below it the machine has its memory; 32-bit BARs lie from here on.
const WINDOW_32: (u64, u64) = (0xE000_0000, 0xFEC0_0000);
/// 64-bit BARs lie here, above any memory of the machine.
const WINDOW_64: (u64, u64) = (0x3800_0000_0000, 0x3900_0000_0000);

/// Where a function sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// Bus number.
    pub bus: u8,
    /// Device, 0 to 31.
    pub device: u8,
    /// Function, 0 to 7.
    pub function: u8,
}

impl core::fmt::Display for Location {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "PCI bus {}, device {}, function {}", self.bus, self.device, self.function)
    }
}

/// All functions of the machine.
#[derive(Debug, Default)]
pub(crate) struct Bus {
    slots: Guarded<BTreeMap<Location, Arc<Slot>>>,
    windows: Guarded<(u64, u64)>,
    pub(crate) vectors: Guarded<Vectors>,
    /// Switch points since somebody asked for a removal at one of them, and which that is: 0 for none.
    switch_points: AtomicU64,
    pull_at: AtomicU64,
    /// The function that goes then.
    pull: Guarded<Option<Arc<Slot>>>,
}

/// One function in its slot.
pub(crate) struct Slot {
    pub(crate) location: Location,
    pub(crate) name: String,
    pub(crate) identity: Identity,
    pub(crate) bars: Vec<Bar>,
    pub(crate) messages: Messages,
    pub(crate) pin: u8,
    function: Guarded<Box<dyn PciFunction>>,
    present: AtomicBool,
    power: AtomicU8,
    device: Guarded<Option<DeviceId>>,
    pub(crate) domain: Guarded<Option<DmaDomain>>,
    line: AtomicBool,
    /// Register accesses until the function is gone, `u64::MAX` for never.
    vanishes_after: AtomicU64,
    reads: AtomicU64,
    writes: AtomicU64,
    sent: AtomicU64,
}

/// Counts of one function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Register reads by processors.
    pub reads: u64,
    /// Register writes by processors.
    pub writes: u64,
    /// Messages and line assertions that reached the machine.
    pub interrupts: u64,
}

impl core::fmt::Debug for Slot {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Slot")
            .field("location", &self.location)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Slot {
    /// Whether the function still answers.
    pub(crate) fn present(&self) -> bool {
        self.present.load(Ordering::Relaxed)
    }

    pub(crate) fn traffic(&self) -> Traffic {
        Traffic {
            reads: self.reads.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
            interrupts: self.sent.load(Ordering::Relaxed),
        }
    }

    /// Runs `work` on the function, unless it is gone.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut dyn PciFunction) -> R) -> Option<R> {
        self.present().then(|| self.function.with(|function| work(function.as_mut())))
    }

    /// Whether the line is asserted.
    pub(crate) fn line_asserted(&self) -> bool {
        self.present() && self.line.load(Ordering::Relaxed)
    }

    /// Reads configuration space; ones where nothing answers.
    pub(crate) fn config_read(&self, offset: u16, width: u8) -> u32 {
        let ones = u32::MAX >> (32 - 8 * u32::from(width.clamp(1, 4)));
        self.with(|function| function.config_read(offset, width)).unwrap_or(ones)
    }

    /// Writes configuration space.
    pub(crate) fn config_write(&self, offset: u16, width: u8, value: u32) {
        self.with(|function| function.config_write(offset, width, value));
    }

    /// Sets bits of the command register and clears others.
    pub(crate) fn command(&self, set: u16, clear: u16) {
        self.with(|function| {
            let command = function.config_read(COMMAND, 2);
            function.config_write(COMMAND, 2, (command | u32::from(set)) & !u32::from(clear));
        });
    }

    /// D0 to D3: what the bus driver writes into the power management capability.
    pub(crate) fn set_power(&self, state: u8) {
        self.power.store(state, Ordering::Relaxed);
        self.with(|function| config::set_power(function, state));
    }

    /// Main power goes: the function is as after power-on when it comes back.
    pub(crate) fn lose_power(&self) {
        self.with(|function| function.reset());
        self.line.store(false, Ordering::Relaxed);
    }

    /// Counts one register access; the function may be gone afterwards.
    fn count_access(&self, counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
        let left = self.vanishes_after.load(Ordering::Relaxed);
        if left == 0 {
            self.present.store(false, Ordering::Relaxed);
        } else if left != u64::MAX {
            self.vanishes_after.store(left - 1, Ordering::Relaxed);
        }
    }

    /// Whether a BAR answers: there, powered, decoding, and where the machine put it.
    fn decodes(&self, bar: &Bar) -> bool {
        let answers = |function: &mut dyn PciFunction| {
            function.config_read(COMMAND, 2) & u32::from(COMMAND_MEMORY) != 0
                && config::is_placed(function, bar)
        };
        self.power.load(Ordering::Relaxed) == 0 && self.with(answers).unwrap_or(false)
    }
}

/// One BAR as the machine's memory map holds it.
struct Window {
    slot: Arc<Slot>,
    bar: Bar,
}

impl Mmio for Window {
    fn name(&self) -> String {
        format!("{} BAR{}", self.slot.name, self.bar.index)
    }

    fn read(&self, k: &Kernel, offset: u64, width: u8) -> u64 {
        self.slot.count_access(&self.slot.reads);
        let ones = u64::MAX >> (64 - 8 * u32::from(width.clamp(1, 8)));
        if !self.slot.decodes(&self.bar) {
            return ones;
        }
        let value =
            self.slot.with(|function| function.mmio_read(self.bar.index, offset, width)).unwrap_or(ones);
        self.wake(k);
        value
    }

    fn write(&self, k: &Kernel, offset: u64, width: u8, value: u64) {
        self.slot.count_access(&self.slot.writes);
        if self.slot.decodes(&self.bar) {
            self.slot.with(|function| function.mmio_write(self.bar.index, offset, width, value));
            self.wake(k);
        }
    }
}

impl Window {
    fn wake(&self, k: &Kernel) {
        if let Some(id) = self.slot.device.with(|id| *id) {
            k.wake_device(id);
        }
    }
}

/// The machine as the function in a slot sees it during one step.
struct Master<'a> {
    k: &'a Kernel,
    slot: &'a Slot,
    /// Bus mastering is on and the function is in D0.
    enabled: bool,
    line_disabled: bool,
    domain: Option<DmaDomain>,
}

impl BusMaster for Master<'_> {
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), BusFault> {
        let done = match self.domain.filter(|_| self.enabled) {
            Some(domain) => self.k.dma_read(domain, address, bytes),
            None => Err(BusFault { address }),
        };
        if done.is_err() {
            bytes.fill(0xFF);
        }
        done
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), BusFault> {
        match self.domain.filter(|_| self.enabled) {
            Some(domain) => self.k.dma_write(domain, address, bytes),
            None => Err(BusFault { address }),
        }
    }

    fn store(&mut self, address: u64, value: u64) -> Result<(), BusFault> {
        match self.domain.filter(|_| self.enabled && address.is_multiple_of(8)) {
            Some(domain) => self.k.dma_store(domain, address, value),
            None => Err(BusFault { address }),
        }
    }

    fn message(&mut self, address: u64, data: u32) {
        if self.enabled {
            self.slot.sent.fetch_add(1, Ordering::Relaxed);
            self.k.deliver_message(&self.slot.name, address, data);
        }
    }

    fn line(&mut self, asserted: bool) {
        let asserted = asserted && !self.line_disabled;
        let before = self.slot.line.swap(asserted, Ordering::Relaxed);
        if asserted && !before {
            self.slot.sent.fetch_add(1, Ordering::Relaxed);
            self.k.deliver_line(self.slot.location, self.slot.pin);
        }
    }

    fn now(&self) -> u64 {
        self.k.now()
    }
}

/// A slot as the scheduler steps it.
struct Stepper(Arc<Slot>);

impl Device for Stepper {
    fn step(&self, k: &Kernel) -> Progress {
        let slot = &self.0;
        let domain = slot.domain.with(|domain| *domain);
        let powered = slot.power.load(Ordering::Relaxed) == 0;
        let step = |function: &mut dyn PciFunction| {
            let command = function.config_read(COMMAND, 2);
            let enabled = powered && command & u32::from(COMMAND_MASTER) != 0;
            let line_disabled = command & u32::from(COMMAND_INTX_DISABLE) != 0;
            function.step(&mut Master { k, slot, enabled, line_disabled, domain })
        };
        slot.with(step).unwrap_or(Progress::Idle)
    }
}

impl Kernel {
    /// Firmware and hardware half of plugging a function in: finds it a place, sizes and assigns its BARs, lets it step.
    ///
    /// # Errors
    /// What is wrong with the function, or that no slot or address is left.
    pub(crate) fn plug_function(
        &self,
        wanted: Option<Location>,
        mut function: Box<dyn PciFunction>,
    ) -> Result<Arc<Slot>, String> {
        let name = function.name();
        let location = self.pci.slots.with(|slots| {
            let free = |location: &Location| !slots.contains_key(location);
            match wanted {
                Some(location) if free(&location) => Ok(location),
                Some(location) => Err(format!("{location} is taken: {name} needs another place")),
                None => {
                    let all = (4..32)
                        .flat_map(|device| (0..8).map(move |function| Location { bus: 0, device, function }));
                    all.into_iter()
                        .find(free)
                        .ok_or_else(|| format!("the root bus is full: no place for {name}"))
                }
            }
        })?;
        function.reset();
        let identity = config::identity(function.as_mut())
            .ok_or_else(|| format!("{name} answers with all ones: it is no PCI function"))?;
        let mut bars = config::size_bars(function.as_mut())?;
        for bar in &mut bars {
            bar.base = self
                .assign(bar)
                .ok_or_else(|| format!("no address is left for BAR {} of {name}", bar.index))?;
            config::place_bar(function.as_mut(), bar);
        }
        let pin = config::interrupt_pin(function.as_mut());
        config::set_interrupt_line(function.as_mut(), super::interrupt::line_of(location, pin));
        let slot = Arc::new(Slot {
            location,
            identity,
            messages: config::messages(function.as_mut()),
            pin,
            name,
            bars,
            function: Guarded::new(function),
            present: AtomicBool::new(true),
            power: AtomicU8::new(0),
            device: Guarded::new(None),
            domain: Guarded::new(None),
            line: AtomicBool::new(false),
            vanishes_after: AtomicU64::new(u64::MAX),
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        });
        for bar in &slot.bars {
            self.map_mmio(bar.base, bar.size, Arc::new(Window { slot: Arc::clone(&slot), bar: *bar }));
        }
        let id = self.attach_device(Arc::new(Stepper(Arc::clone(&slot))));
        slot.device.with(|device| *device = Some(id));
        self.pci.slots.with(|slots| slots.insert(location, Arc::clone(&slot)));
        Ok(slot)
    }

    /// The function is pulled: from now on nothing answers. What the operating system learns of it is another matter.
    pub(crate) fn pull_function(&self, slot: &Slot) {
        slot.present.store(false, Ordering::Relaxed);
        slot.line.store(false, Ordering::Relaxed);
    }

    /// The function will be gone after `accesses` further register accesses.
    pub(crate) fn pull_function_after(&self, slot: &Slot, accesses: u64) {
        slot.vanishes_after.store(accesses, Ordering::Relaxed);
    }

    /// Counts switch points from here on, from one; at `number` the function is gone.
    pub(crate) fn pull_function_at(&self, slot: Arc<Slot>, number: u64) {
        self.pci.pull.with(|pull| *pull = Some(slot));
        self.pci.pull_at.store(number, Ordering::Relaxed);
        self.pci.switch_points.store(0, Ordering::Relaxed);
    }

    /// Switch points since [`vanish_at`](Self::vanish_at).
    #[must_use]
    pub fn switch_points(&self) -> u64 {
        self.pci.switch_points.load(Ordering::Relaxed)
    }

    /// Counts a switch point; a function may be gone afterwards.
    pub(crate) fn count_switch_point(&self) {
        let number = self.pci.switch_points.fetch_add(1, Ordering::Relaxed) + 1;
        if number == self.pci.pull_at.load(Ordering::Relaxed)
            && let Some(slot) = self.pci.pull.with(Option::take)
        {
            self.pull_function(&slot);
        }
    }

    /// Takes the function's windows out of the memory map and frees its place.
    pub(crate) fn forget_function(&self, slot: &Slot) {
        for bar in &slot.bars {
            self.unmap_mmio(bar.base);
        }
        if let Some(id) = slot.device.with(Option::take) {
            self.detach_device(id);
        }
        self.pci.slots.with(|slots| slots.remove(&slot.location));
    }

    /// The functions in the order of their places.
    pub(crate) fn functions(&self) -> Vec<Arc<Slot>> {
        self.pci.slots.with(|slots| slots.values().cloned().collect())
    }

    /// The function at `location`.
    pub(crate) fn function_at(&self, location: Location) -> Option<Arc<Slot>> {
        self.pci.slots.with(|slots| slots.get(&location).cloned())
    }

    /// The next naturally aligned address for a BAR.
    fn assign(&self, bar: &Bar) -> Option<u64> {
        self.pci.windows.with(|(low, high)| {
            let (next, (start, end)) = if bar.wide { (high, WINDOW_64) } else { (low, WINDOW_32) };
            // Every BAR starts on a page of its own, so that one driver's mapping never shows another's registers.
            let base = (*next).max(start).next_multiple_of(bar.size.max(0x1000));
            let after = base.checked_add(bar.size)?;
            (after <= end).then(|| {
                *next = after;
                base
            })
        })
    }
}
