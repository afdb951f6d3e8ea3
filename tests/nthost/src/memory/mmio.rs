//! Device registers: windows of the physical address space that a device answers, and their trapped mappings.

use std::sync::Arc;

use super::physical::PAGE;
use super::space::{Kind, Region};
use crate::kernel::Kernel;

/// What answers in a window of device registers.
pub trait Mmio {
    /// A name for messages and the trace.
    fn name(&self) -> String;

    /// Reads `width` (1, 2, 4 or 8) bytes at `offset` of the window.
    fn read(&self, k: &Kernel, offset: u64, width: u8) -> u64;

    /// Writes `width` (1, 2, 4 or 8) bytes at `offset` of the window.
    fn write(&self, k: &Kernel, offset: u64, width: u8, value: u64);
}

/// The windows of a machine.
#[derive(Default)]
pub struct Windows(Vec<Window>);

struct Window {
    base: u64,
    length: u64,
    target: Arc<dyn Mmio>,
}

impl std::fmt::Debug for Windows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|window| (window.base, window.length, window.target.name())))
            .finish()
    }
}

impl Kernel {
    /// Lets `target` answer at the physical addresses from `base` on.
    ///
    /// # Panics
    /// When another window already answers there: the bus assigns addresses, not the driver.
    pub fn map_mmio(&self, base: u64, length: u64, target: Arc<dyn Mmio>) {
        self.memory.mmio.with(|windows| {
            let overlaps =
                |window: &Window| base < window.base + window.length && window.base < base + length;
            assert!(!windows.0.iter().any(overlaps), "two devices answer at {base:#x}");
            windows.0.push(Window { base, length, target });
        });
    }

    /// Nothing answers any more at the window that starts at `base`.
    pub fn unmap_mmio(&self, base: u64) {
        self.memory.mmio.with(|windows| windows.0.retain(|window| window.base != base));
    }

    /// What answers at a physical address, and the offset in its window.
    pub(crate) fn mmio_target(&self, physical: u64) -> Option<(Arc<dyn Mmio>, u64)> {
        self.memory.mmio.with(|windows| {
            let window = windows.0.iter().find(|w| (w.base..w.base + w.length).contains(&physical))?;
            Some((Arc::clone(&window.target), physical - window.base))
        })
    }

    /// Maps device registers into the kernel's address space; every access to them is trapped.
    pub(crate) fn map_io_space(&self, physical: u64, length: u64) -> Option<u64> {
        let first = physical - physical % PAGE;
        let pages = (physical + length - first).div_ceil(PAGE);
        let start = self.memory.space.reserve(pages)?;
        let used = start + physical % PAGE;
        self.memory.space.insert(Region {
            start,
            pages,
            used: (used, used + length),
            frames: Vec::new(),
            kind: Kind::Mmio(first),
            made_by: self.caller_address(),
            freed_by: None,
        });
        Some(used)
    }
}
