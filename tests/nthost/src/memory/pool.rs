//! Pool: every allocation has pages of its own and ends at an inaccessible page, as special pool does.
//!
//! The bytes between the end of the allocation and the guard page, and those before it, hold a pattern that is checked
//! when it is freed (Learn, "Special Pool"). Freed memory stays inaccessible.

use super::physical::{PAGE, Placement};
use super::space::{Access, Kind, Region};
use super::{Create, Memory};
use crate::kernel::Kernel;
use crate::stop::{Fault, bugcheck};

/// What surrounds an allocation in its pages.
const PATTERN: u8 = 0x5A;
/// What fresh, not zeroed memory contains.
const JUNK: u8 = 0xA5;

/// What to allocate.
#[derive(Debug, Clone, Copy)]
pub struct PoolRequest {
    /// Bytes.
    pub size: u64,
    /// The tag.
    pub tag: u32,
    /// Usable at raised IRQL.
    pub nonpaged: bool,
    /// Zeroed.
    pub zero: bool,
}

/// Pool still allocated, for a leak report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolLeak {
    /// Address of the allocation.
    pub address: u64,
    /// Its tag as text.
    pub tag: String,
    /// Its size in bytes.
    pub size: u64,
    /// The code address that allocated it.
    pub made_by: u64,
}

/// A pool tag as its four characters.
#[must_use]
pub fn tag_text(tag: u32) -> String {
    tag.to_le_bytes()
        .iter()
        .map(|&byte| if byte.is_ascii_graphic() { char::from(byte) } else { '.' })
        .collect()
}

impl Memory {
    fn pool_create(&self, request: PoolRequest, made_by: u64) -> Option<u64> {
        let size = request.size.max(1);
        // Whole pages start at a page; smaller blocks end as near to the guard page as 16-byte alignment allows
        // (ExAllocatePool2: "aligned to 16 bytes on 64-bit"; page aligned from PAGE_SIZE on).
        let before = if size >= PAGE { 0 } else { PAGE - size.next_multiple_of(16) };
        let kind = Kind::Pool { tag: request.tag, size: request.size, nonpaged: request.nonpaged };
        let create = Create {
            size,
            before,
            placement: Placement::ANYWHERE,
            access: Access::ReadWrite,
            fill: PATTERN,
            kind,
            made_by,
        };
        let address = self.create(&create)?;
        let fill = if request.zero { 0 } else { JUNK };
        // SAFETY: `create` has just mapped `size` bytes there.
        unsafe { std::ptr::write_bytes(address as *mut u8, fill, size as usize) };
        Some(address)
    }

    /// The first byte of the pattern around a block that is no longer the pattern.
    fn pool_damage(region: &Region) -> Option<u64> {
        let (first, end) = region.used;
        let intact = |address: &u64| {
            // SAFETY: inside the pages of a live region; the caller holds it live.
            let byte = unsafe { (*address as *const u8).read() };
            byte == PATTERN
        };
        (region.start..first).chain(end..region.end()).find(|address| !intact(address))
    }
}

impl Kernel {
    /// Allocates pool for driver code; `None` when there is none.
    pub fn pool_allocate(&self, request: PoolRequest) -> Option<u64> {
        self.memory.pool_create(request, self.caller_address())
    }

    /// Frees a pool block of driver code; anything that is not a live block's start stops the machine.
    pub fn pool_free(&self, address: u64) {
        let caller = self.caller_address();
        let Some(region) = self.memory.space.find(address) else {
            self.stop(
                Fault::new("Special Pool", bugcheck::BAD_POOL_CALLER)
                    .text(format!("{address:#x} is freed but was never allocated"))
                    .parameter(0x46, "an address that is no pool allocation was freed")
                    .parameter(address, "the address"),
            );
        };
        let Kind::Pool { tag, .. } = region.kind else {
            self.stop(
                Fault::new("Special Pool", bugcheck::BAD_POOL_CALLER)
                    .text(format!("{address:#x} is freed as pool but is {}", self.describe_address(address)))
                    .parameter(0x46, "an address that is no pool allocation was freed")
                    .parameter(address, "the address"),
            );
        };
        if let Some(by) = region.freed_by {
            self.stop(
                Fault::new("Special Pool", bugcheck::BAD_POOL_CALLER)
                    .text(format!(
                        "pool block {address:#x} '{}' is freed twice; first by {}",
                        tag_text(tag),
                        self.symbol(by)
                    ))
                    .parameter(7, "the pool block was already freed")
                    .parameter(address, "the address"),
            );
        }
        if address != region.used.0 {
            self.stop(
                Fault::new("Special Pool", bugcheck::BAD_POOL_CALLER)
                    .text(format!(
                        "{address:#x} lies inside pool block {:#x} '{}'",
                        region.used.0,
                        tag_text(tag)
                    ))
                    .parameter(0x46, "an address that is no pool allocation was freed")
                    .parameter(address, "the address"),
            );
        }
        if let Some(damaged) = Memory::pool_damage(&region) {
            self.stop(Fault::new("Special Pool", bugcheck::SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION)
                .text(format!("bytes around pool block {address:#x} '{}' of {} bytes were overwritten at {damaged:#x}",
                    tag_text(tag), region.used.1 - region.used.0))
                .parameter(address, "the pool block")
                .parameter(damaged, "the first overwritten byte")
                .parameter(0, "")
                .parameter(0x24, "bytes beside the block were overwritten"));
        }
        self.check_nothing_live_in(address, region.used.1, "pool being freed");
        self.forget_order(address, region.used.1);
        self.memory.destroy(region.start, caller);
    }

    /// The tag of the live pool block that starts at `address`.
    pub(crate) fn pool_tag(&self, address: u64) -> Option<u32> {
        self.memory.space.with_region(address, |region| match region.kind {
            Kind::Pool { tag, .. } if region.freed_by.is_none() && region.used.0 == address => Some(tag),
            _ => None,
        })?
    }

    /// Pool that driver code at addresses `select` keeps has allocated and not freed.
    #[must_use]
    pub fn pool_in_use(&self, select: impl Fn(u64) -> bool) -> Vec<PoolLeak> {
        let regions = self
            .memory
            .space
            .select(|region| matches!(region.kind, Kind::Pool { .. }) && select(region.made_by));
        let leak = |region: Region| match region.kind {
            Kind::Pool { tag, size, .. } => {
                Some(PoolLeak { address: region.used.0, tag: tag_text(tag), size, made_by: region.made_by })
            }
            _ => None,
        };
        regions.into_iter().filter_map(leak).collect()
    }
}
