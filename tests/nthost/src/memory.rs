//! Memory of the machine: physical frames, the kernel's address space, and what is made of the two.

pub mod access;
pub mod dma;
pub mod mdl;
pub mod mmio;
pub mod physical;
pub mod pool;
pub mod scarcity;
pub mod space;
pub mod user;

use std::io;

use crate::guarded::Guarded;
use crate::kernel::Kernel;
use physical::{Frame, PAGE, PhysicalMemory, Placement};
use space::{Access, AddressSpace, Kind, Region};

/// The memory of one machine.
#[derive(Debug)]
pub struct Memory {
    pub(crate) physical: PhysicalMemory,
    pub(crate) space: AddressSpace,
    pub(crate) dma: Guarded<dma::Dma>,
    pub(crate) mmio: Guarded<mmio::Windows>,
    pub(crate) mdls: Guarded<mdl::Mdls>,
    scarcity: Guarded<scarcity::Scarcity>,
    pub(crate) remapping: bool,
}

impl Memory {
    pub(crate) fn new(bytes: u64, seed: u64, remapping: bool) -> io::Result<Self> {
        Ok(Self {
            physical: PhysicalMemory::new(bytes, seed)?,
            space: AddressSpace::new()?,
            dma: Guarded::new(dma::Dma::default()),
            mmio: Guarded::new(mmio::Windows::default()),
            mdls: Guarded::new(mdl::Mdls::default()),
            scarcity: Guarded::default(),
            remapping,
        })
    }

    /// Makes a region of fresh frames. `before` bytes of its first page are left before the first used byte.
    pub(crate) fn create(&self, request: &Create) -> Option<u64> {
        let pages = (request.before + request.size).div_ceil(PAGE).max(1);
        let frames = self.physical.allocate(pages as usize, request.placement)?;
        let Some(start) = self.space.reserve(pages) else {
            self.physical.free(&frames);
            return None;
        };
        self.fill(&frames, request.fill);
        if self.space.map(self.physical.file(), start, &frames, request.access).is_err() {
            self.space.unmap(start, pages);
            self.physical.free(&frames);
            return None;
        }
        let first = start + request.before;
        self.space.insert(Region {
            start,
            pages,
            used: (first, first + request.size),
            frames,
            kind: request.kind.clone(),
            made_by: request.made_by,
            freed_by: None,
        });
        Some(first)
    }

    /// Frees the region at `start`: its pages become inaccessible, its frames go back.
    pub(crate) fn destroy(&self, start: u64, freed_by: u64) -> Option<Region> {
        let region = self.space.retire(start, freed_by)?;
        self.space.unmap(region.start, region.pages);
        if !matches!(region.kind, Kind::Mapping | Kind::Mmio(_)) {
            self.physical.free(&region.frames);
        }
        Some(region)
    }

    fn fill(&self, frames: &[Frame], byte: u8) {
        let page = [byte; PAGE as usize];
        frames.iter().for_each(|&frame| self.physical.write(frame, 0, &page));
    }

    /// The physical address behind a virtual one, of memory this machine handed out.
    #[must_use]
    pub fn physical_address(&self, address: u64) -> Option<u64> {
        self.space.frame_of(address).map(|frame| self.physical.address(frame) + address % PAGE)
    }
}

/// What [`Memory::create`] is to make.
#[derive(Debug, Clone)]
pub(crate) struct Create {
    pub size: u64,
    pub before: u64,
    pub placement: Placement,
    pub access: Access,
    pub fill: u8,
    pub kind: Kind,
    pub made_by: u64,
}

impl Create {
    /// Zeroed, readable and writable, page aligned, anywhere.
    pub(crate) fn new(kind: Kind, size: u64) -> Self {
        Self {
            size,
            before: 0,
            placement: Placement::ANYWHERE,
            access: Access::ReadWrite,
            fill: 0,
            kind,
            made_by: 0,
        }
    }
}

impl Kernel {
    /// Memory for an object that the kernel itself owns, zeroed and ending at a guard page; `what` names it in reports.
    ///
    /// # Panics
    /// When the machine has no memory left: the kernel's own objects are not subject to low-resource tests.
    pub fn system_allocate(&self, size: u64, what: impl Into<String>) -> u64 {
        let what = what.into();
        let size = size.next_multiple_of(16);
        let mut request = Create::new(Kind::System(what.clone()), size);
        request.before = size.next_multiple_of(PAGE) - size;
        self.memory.create(&request).unwrap_or_else(|| panic!("no machine memory left for {what}"))
    }

    /// Frees what [`Kernel::system_allocate`] returned. Later accesses are diagnosed as use after free.
    pub fn system_free(&self, address: u64) {
        let start = address - address % PAGE;
        assert!(
            self.memory.destroy(start, self.caller_address()).is_some(),
            "{address:#x} is no system object"
        );
    }

    /// The physical address behind `address`, or `None` for memory this machine never handed out (or freed).
    #[must_use]
    pub fn physical(&self, address: u64) -> Option<u64> {
        self.memory.physical_address(address)
    }
}
