//! The kernel's virtual address space: one reserved range of the host process, cut into regions.
//!
//! Every region ends at an inaccessible guard page and its addresses are not used again before the whole range has been
//! used once, so an access past an end or after a free faults and can be explained.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use super::physical::{Frame, PAGE};
use crate::guarded::Guarded;

/// Bytes of one machine's range.
const RANGE: u64 = 1 << 38;
/// Where the first machine's range starts: the same in every run, so that addresses in a history are too.
const FIRST: u64 = 0x1000_0000_0000;
const LAST: u64 = 0x5000_0000_0000;

/// What may be done with a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing: every access faults.
    None,
    /// Reading.
    Read,
    /// Reading and writing.
    ReadWrite,
    /// Reading and executing.
    Execute,
}

impl Access {
    fn flags(self) -> i32 {
        match self {
            Self::None => libc::PROT_NONE,
            Self::Read => libc::PROT_READ,
            Self::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
            Self::Execute => libc::PROT_READ | libc::PROT_EXEC,
        }
    }
}

/// What a region is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A driver image, by file name.
    Image(String),
    /// A pool allocation: tag and size.
    Pool {
        /// The four characters.
        tag: u32,
        /// Bytes asked for.
        size: u64,
        /// Whether it may be used at raised IRQL.
        nonpaged: bool,
    },
    /// Something the kernel itself owns (a thread, a device object, an adapter …).
    System(String),
    /// Physically contiguous memory or a common buffer.
    Contiguous(String),
    /// Pages of an MDL mapped a second time.
    Mapping,
    /// Device registers from this physical address on.
    Mmio(u64),
    /// A buffer of the host's "user mode".
    User,
}

/// A piece of the address space.
#[derive(Debug, Clone)]
pub struct Region {
    /// First address; a multiple of the page size.
    pub start: u64,
    /// Pages, without the guard page behind them.
    pub pages: u64,
    /// First byte that is in use, and the byte after the last.
    pub used: (u64, u64),
    /// The frame of each page; empty for device registers.
    pub frames: Vec<Frame>,
    /// What it is.
    pub kind: Kind,
    /// Who made it (a code address in an image, or zero).
    pub made_by: u64,
    /// Set once freed: who freed it.
    pub freed_by: Option<u64>,
}

impl Region {
    /// The address after the last page.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.start + self.pages * PAGE
    }
}

/// The address space of a machine.
#[derive(Debug)]
pub struct AddressSpace {
    base: u64,
    state: Guarded<State>,
}

#[derive(Debug)]
struct State {
    next: u64,
    regions: BTreeMap<u64, Region>,
    /// Freed regions that are still remembered, oldest first.
    freed: VecDeque<u64>,
}

/// Freed regions that are remembered for reports. Their addresses stay inaccessible for good.
const REMEMBERED: usize = 1 << 16;

impl AddressSpace {
    pub(crate) fn new() -> io::Result<Self> {
        for base in (FIRST..LAST).step_by(RANGE as usize) {
            // SAFETY: MAP_FIXED_NOREPLACE never takes the place of an existing mapping.
            let mapped = unsafe {
                libc::mmap(
                    base as *mut _,
                    RANGE as usize,
                    libc::PROT_NONE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE,
                    -1,
                    0,
                )
            };
            if mapped as u64 == base {
                return Ok(Self {
                    base,
                    state: Guarded::new(State {
                        next: base + PAGE,
                        regions: BTreeMap::new(),
                        freed: VecDeque::new(),
                    }),
                });
            }
        }
        Err(io::Error::other("no free range of 256 GiB in this process"))
    }

    /// The first address.
    #[must_use]
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Whether `address` belongs to this machine's range.
    #[must_use]
    pub fn contains(&self, address: u64) -> bool {
        (self.base..self.base + RANGE).contains(&address)
    }

    /// Takes addresses for `pages` pages and a guard page behind them; nothing is accessible yet.
    pub(crate) fn reserve(&self, pages: u64) -> Option<u64> {
        self.state.with(|state| {
            let start = state.next;
            let next = start.checked_add((pages + 1) * PAGE)?;
            if next > self.base + RANGE {
                return None;
            }
            state.next = next;
            Some(start)
        })
    }

    /// Enters a region whose addresses came from [`AddressSpace::reserve`].
    pub(crate) fn insert(&self, region: Region) {
        self.state.with(|state| state.regions.insert(region.start, region));
    }

    /// The live or freed region that `address` lies in, its guard page included.
    #[must_use]
    pub fn find(&self, address: u64) -> Option<Region> {
        self.with_region(address, Region::clone)
    }

    /// Runs `look` on the region that `address` lies in.
    pub(crate) fn with_region<R>(&self, address: u64, look: impl FnOnce(&Region) -> R) -> Option<R> {
        self.state.with(|state| {
            let (_, region) = state.regions.range(..=address).next_back()?;
            (address < region.end() + PAGE).then(|| look(region))
        })
    }

    /// The frame behind `address`, of a live region.
    #[must_use]
    pub fn frame_of(&self, address: u64) -> Option<Frame> {
        self.with_region(address, |region| {
            let page = (address - region.start) / PAGE;
            if region.freed_by.is_some() { None } else { region.frames.get(page as usize).copied() }
        })?
    }

    /// Marks the region at `start` freed and returns it as it was, or `None` when there is no live one.
    pub(crate) fn retire(&self, start: u64, freed_by: u64) -> Option<Region> {
        self.state.with(|state| {
            let region = state.regions.get_mut(&start).filter(|region| region.freed_by.is_none())?;
            let was = region.clone();
            region.freed_by = Some(freed_by);
            region.frames = Vec::new();
            state.freed.push_back(start);
            if state.freed.len() > REMEMBERED
                && let Some(oldest) = state.freed.pop_front()
            {
                state.regions.remove(&oldest);
            }
            Some(was)
        })
    }

    /// All live regions that `select` keeps.
    pub(crate) fn select(&self, select: impl Fn(&Region) -> bool) -> Vec<Region> {
        self.state.with(|state| {
            state
                .regions
                .values()
                .filter(|region| region.freed_by.is_none() && select(region))
                .cloned()
                .collect()
        })
    }

    /// Makes `frames` visible from `start` on.
    pub(crate) fn map(&self, file: i32, start: u64, frames: &[Frame], access: Access) -> io::Result<()> {
        let mut at = start;
        let mut rest = frames;
        while let Some(&first) = rest.first() {
            let run = rest.windows(2).take_while(|pair| pair[0].next() == pair[1]).count() + 1;
            let length = run as u64 * PAGE;
            assert!(
                self.contains(at) && self.contains(at + length - 1),
                "a mapping outside the kernel's range"
            );
            // SAFETY: MAP_FIXED inside the range that this machine alone has reserved.
            let mapped = unsafe {
                libc::mmap(
                    at as *mut _,
                    length as usize,
                    access.flags(),
                    libc::MAP_SHARED | libc::MAP_FIXED,
                    file,
                    first.offset() as i64,
                )
            };
            if mapped == libc::MAP_FAILED {
                return Err(too_many_mappings(io::Error::last_os_error()));
            }
            at += length;
            rest = &rest[run..];
        }
        Ok(())
    }

    /// Changes what may be done with the pages at `start`.
    pub(crate) fn protect(&self, start: u64, pages: u64, access: Access) -> io::Result<()> {
        assert!(self.contains(start) && self.contains(start + pages * PAGE), "outside the kernel's range");
        // SAFETY: pages of the range that this machine alone has reserved.
        let failed = unsafe { libc::mprotect(start as *mut _, (pages * PAGE) as usize, access.flags()) };
        if failed == 0 { Ok(()) } else { Err(too_many_mappings(io::Error::last_os_error())) }
    }

    /// Makes the pages inaccessible again and forgets what was mapped there.
    pub(crate) fn unmap(&self, start: u64, pages: u64) {
        if pages == 0 {
            return;
        }
        assert!(self.contains(start) && self.contains(start + pages * PAGE), "outside the kernel's range");
        // SAFETY: MAP_FIXED inside the range that this machine alone has reserved.
        let mapped = unsafe {
            libc::mmap(
                start as *mut _,
                (pages * PAGE) as usize,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED,
                -1,
                0,
            )
        };
        assert_ne!(mapped, libc::MAP_FAILED, "{}", too_many_mappings(io::Error::last_os_error()));
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        // SAFETY: the range was reserved by `new`; the machine that used it is gone.
        unsafe { libc::munmap(self.base as *mut _, RANGE as usize) };
    }
}

/// The host limits the mappings of a process; the message names the remedy.
fn too_many_mappings(error: io::Error) -> io::Error {
    if error.raw_os_error() == Some(libc::ENOMEM) {
        io::Error::other(
            "too many mappings or no memory on the host: use less machine memory at once, or raise vm.max_map_count",
        )
    } else {
        error
    }
}
