//! What devices see of memory: everything at its physical address, or, behind remapping hardware, only what was mapped
//! for them and at addresses that are not physical.

use std::collections::BTreeMap;

use super::physical::{Frame, PAGE};
use crate::kernel::Kernel;
use crate::pci::BusFault;
use crate::stop::{Fault, bugcheck};

/// Names the view that one device has of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DmaDomain(u32);

/// Whether a device may be put behind remapping hardware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remapping {
    /// Its INF opted out: it always sees physical addresses.
    OptedOut,
    /// It is remapped when the machine has remapping hardware.
    Allowed,
}

/// Logical pages of a remapped device start here: far from every physical address.
const LOGICAL_BASE: u64 = 0x40_0000_0000;
/// The same for a device that reaches no further than 4 GiB.
const LOGICAL_LOW: u64 = 0x8000_0000;

/// The DMA state of a machine.
#[derive(Debug, Default)]
pub struct Dma {
    domains: Vec<Domain>,
    devices: BTreeMap<u64, DmaDomain>,
}

#[derive(Debug)]
struct Domain {
    /// Logical page to frame; `None` when the device sees physical addresses.
    map: Option<BTreeMap<u64, Frame>>,
    next: (u64, u64),
}

impl Kernel {
    /// The view of memory of the device whose physical device object is at `device`.
    pub fn dma_register(&self, device: u64, remapping: Remapping) -> DmaDomain {
        let remapped = self.memory.remapping && remapping == Remapping::Allowed;
        self.memory.dma.with(|dma| {
            let domain = DmaDomain(dma.domains.len() as u32);
            let map = remapped.then(BTreeMap::new);
            dma.domains.push(Domain { map, next: (LOGICAL_LOW, LOGICAL_BASE) });
            dma.devices.insert(device, domain);
            domain
        })
    }

    /// The device object goes away.
    pub fn dma_forget(&self, device: u64) {
        self.memory.dma.with(|dma| dma.devices.remove(&device));
    }

    /// The view of the device whose physical device object is at `device`.
    #[must_use]
    pub fn dma_domain(&self, device: u64) -> Option<DmaDomain> {
        self.memory.dma.with(|dma| dma.devices.get(&device).copied())
    }

    /// Whether the device sees other addresses than physical ones.
    #[must_use]
    pub fn dma_is_remapped(&self, domain: DmaDomain) -> bool {
        self.memory.dma.with(|dma| dma.domains[domain.0 as usize].map.is_some())
    }

    /// A device reads memory.
    ///
    /// # Errors
    /// [`BusFault`] where nothing answers; `bytes` is then filled with ones.
    pub fn dma_read(&self, domain: DmaDomain, address: u64, bytes: &mut [u8]) -> Result<(), BusFault> {
        let mut done = 0;
        while done < bytes.len() {
            let at = address + done as u64;
            let length = ((PAGE - at % PAGE) as usize).min(bytes.len() - done);
            match self.dma_frame(domain, at) {
                Ok(frame) => self.memory.physical.read(frame, at % PAGE, &mut bytes[done..done + length]),
                Err(fault) => {
                    bytes.fill(0xFF);
                    return Err(fault);
                }
            }
            done += length;
        }
        Ok(())
    }

    /// A device writes memory.
    ///
    /// # Errors
    /// [`BusFault`] where nothing answers; nothing is written then.
    pub fn dma_write(&self, domain: DmaDomain, address: u64, bytes: &[u8]) -> Result<(), BusFault> {
        let mut pieces = Vec::new();
        let mut done = 0;
        while done < bytes.len() {
            let at = address + done as u64;
            let length = ((PAGE - at % PAGE) as usize).min(bytes.len() - done);
            pieces.push((self.dma_frame(domain, at)?, at % PAGE, done..done + length));
            done += length;
        }
        for (frame, offset, range) in pieces {
            self.memory.physical.write(frame, offset, &bytes[range]);
        }
        Ok(())
    }

    /// A device stores eight bytes at once.
    ///
    /// # Errors
    /// [`BusFault`] where nothing answers or when `address` is no multiple of eight.
    pub fn dma_store(&self, domain: DmaDomain, address: u64, value: u64) -> Result<(), BusFault> {
        if !address.is_multiple_of(8) {
            return Err(BusFault { address });
        }
        let frame = self.dma_frame(domain, address)?;
        self.memory.physical.store(frame, address % PAGE, value);
        Ok(())
    }

    /// The frame a bus address means. Memory that belongs to nobody stops the machine: somebody freed it too early.
    fn dma_frame(&self, domain: DmaDomain, address: u64) -> Result<Frame, BusFault> {
        let frame = self.memory.dma.with(|dma| match &dma.domains[domain.0 as usize].map {
            Some(map) => map.get(&(address / PAGE)).copied(),
            None => self.memory.physical.frame(address),
        });
        let frame = frame.ok_or(BusFault { address })?;
        if !self.memory.physical.is_used(frame) {
            self.stop(
                Fault::new("DMA Checking", bugcheck::DRIVER_VERIFIER_DMA_VIOLATION)
                    .text(format!("a device accesses memory at bus address {address:#x} that has been freed"))
                    .parameter(address, "the bus address"),
            );
        }
        Ok(frame)
    }

    /// Makes frames visible to a device and returns the bus address of the first; the rest follows without a gap
    /// when the device is remapped or the frames are contiguous.
    pub(crate) fn dma_map(&self, domain: DmaDomain, frames: &[Frame], highest: u64) -> u64 {
        self.memory.dma.with(|dma| {
            let Domain { map, next } = &mut dma.domains[domain.0 as usize];
            let Some(map) = map else {
                return frames.first().map_or(0, |&frame| self.memory.physical.address(frame));
            };
            let next = if highest <= 0xFFFF_FFFF { &mut next.0 } else { &mut next.1 };
            let start = *next;
            for &frame in frames {
                map.insert(*next / PAGE, frame);
                *next += PAGE;
            }
            // A gap behind every mapping, so that a device that runs past its end faults.
            *next += PAGE;
            start
        })
    }

    /// Takes `pages` pages at a bus address out of a device's view.
    pub(crate) fn dma_unmap(&self, domain: DmaDomain, address: u64, pages: u64) {
        self.memory.dma.with(|dma| {
            if let Some(map) = &mut dma.domains[domain.0 as usize].map {
                for page in address / PAGE..address / PAGE + pages {
                    map.remove(&page);
                }
            }
        });
    }
}
