//! MDLs as drivers use them.

use crate::export::{APC, DISPATCH};
use crate::kernel::Kernel;

/// The longest buffer an MDL describes: 4 GiB less a page (Learn, IoAllocateMdl).
const LONGEST: u32 = 0xFFFF_F000;
/// Offset of `MdlAddress` in an IRP (wdm.h).
const IRP_MDL: u64 = 8;

/// Puts an MDL on an IRP: as its first, or behind those it has.
fn attach(k: &Kernel, irp: u64, mdl: u64, secondary: bool) {
    let mut link = irp + IRP_MDL;
    if secondary {
        while k.read::<u64>(link) != 0 {
            link = k.read(link);
        }
    }
    k.write(link, mdl);
}

/// `MM_ALLOCATE_FULLY_REQUIRED` and `MM_ALLOCATE_REQUIRE_CONTIGUOUS_CHUNKS`.
const CONTIGUOUS_CHUNKS: u32 = 0x20;

crate::export::exports! {
    module "ntoskrnl.exe";

    /// Makes an MDL for a buffer.
    fn IoAllocateMdl(k; address: u64, length: u32, secondary: u8, quota: u8, irp: u64) -> u64 [DISPATCH, "Learn, IoAllocateMdl"] {
        if k.allocation_fails() {
            return 0;
        }
        let _ = quota;
        if length > LONGEST {
            return 0;
        }
        let Some(mdl) = k.allocate_mdl(address, length) else { return 0 };
        if irp != 0 {
            attach(k, irp, mdl, secondary != 0);
        }
        mdl
    }

    /// Frees an MDL.
    fn IoFreeMdl(k; mdl: u64) [DISPATCH, "Learn, IoFreeMdl"] {
        k.free_mdl(mdl);
    }

    /// Makes an MDL describe a part of what another one describes.
    fn IoBuildPartialMdl(k; source: u64, target: u64, address: u64, length: u32) [DISPATCH, "Learn, IoBuildPartialMdl"] {
        k.build_partial_mdl(source, target, address, length);
    }

    /// Fills in the frames of memory that is never paged.
    fn MmBuildMdlForNonPagedPool(k; mdl: u64) [DISPATCH, "Learn, MmBuildMdlForNonPagedPool"] {
        k.build_mdl_for_nonpaged(mdl);
    }

    /// Locks pages in memory: operation 0 for reading, 1 and 2 for writing.
    fn MmProbeAndLockPages(k; mdl: u64, mode: i8, operation: i32) [DISPATCH, "Learn, MmProbeAndLockPages"] {
        let _ = mode;
        k.lock_mdl(mdl, operation != 0);
    }

    /// Undoes MmProbeAndLockPages.
    fn MmUnlockPages(k; mdl: u64) [DISPATCH, "Learn, MmUnlockPages"] {
        k.unlock_mdl(mdl);
    }

    /// Maps locked pages.
    fn MmMapLockedPagesSpecifyCache(k; mdl: u64, mode: i8, cache: i32, base: u64, bug_check: u32, priority: u32) -> u64 [DISPATCH, "Learn, MmMapLockedPagesSpecifyCache"] {
        if k.allocation_fails() {
            return 0;
        }
        let _ = (mode, cache, base, bug_check, priority);
        k.map_mdl(mdl).unwrap_or(0)
    }

    /// Undoes MmMapLockedPagesSpecifyCache.
    fn MmUnmapLockedPages(k; address: u64, mdl: u64) [DISPATCH, "Learn, MmUnmapLockedPages"] {
        let _ = address;
        k.unmap_mdl(mdl);
    }

    /// Pages that belong to the caller alone, described by an MDL.
    fn MmAllocatePagesForMdlEx(k; lowest: u64, highest: u64, skip: u64, length: u64, cache: i32, flags: u32) -> u64 [APC, "Learn, MmAllocatePagesForMdlEx"] {
        if k.allocation_fails() {
            return 0;
        }
        let _ = (lowest, cache);
        k.allocate_pages(length, highest, flags & CONTIGUOUS_CHUNKS != 0 && skip == 0).unwrap_or(0)
    }

    /// Frees the pages of an MDL; ExFreePool frees the MDL.
    fn MmFreePagesFromMdl(k; mdl: u64) [APC, "Learn, MmFreePagesFromMdl"] {
        k.free_pages(mdl);
    }
}
