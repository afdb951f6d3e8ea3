//! Memory descriptor lists.
//!
//! An `MDL` (wdm.h, x64): Next, Size (16 bits) at 8, MdlFlags (16 bits) at 0xA, Process at 0x10, MappedSystemVa at 0x18,
//! StartVa at 0x20, ByteCount at 0x28, ByteOffset at 0x2C; the page frame numbers follow at 0x30.

use std::collections::BTreeMap;

use super::physical::{Frame, PAGE, Placement};
use super::pool::PoolRequest;
use super::space::{Access, Kind, Region};
use crate::kernel::Kernel;
use crate::stop::{Fault, bugcheck};

const SIZE: u64 = 8;
const FLAGS: u64 = 0xA;
const MAPPED_VA: u64 = 0x18;
const START_VA: u64 = 0x20;
const BYTE_COUNT: u64 = 0x28;
const BYTE_OFFSET: u64 = 0x2C;
const FRAMES: u64 = 0x30;

/// `MdlFlags`.
const MAPPED_TO_SYSTEM_VA: u16 = 0x01;
const PAGES_LOCKED: u16 = 0x02;
const SOURCE_IS_NONPAGED_POOL: u16 = 0x04;
const PARTIAL: u16 = 0x10;
const WRITE_OPERATION: u16 = 0x80;

const TAG: u32 = u32::from_le_bytes(*b"Mdl ");

/// The MDLs that pin or own pages.
#[derive(Debug, Default)]
pub struct Mdls {
    /// First and last byte of what an MDL has locked.
    locked: BTreeMap<u64, (u64, u64)>,
    /// Frames that belong to the MDL itself.
    owned: BTreeMap<u64, Vec<Frame>>,
}

impl Kernel {
    /// Makes an MDL for `length` bytes at `address`; its frame numbers are not filled in yet.
    pub fn allocate_mdl(&self, address: u64, length: u32) -> Option<u64> {
        let pages = (address % PAGE + u64::from(length)).div_ceil(PAGE);
        let size = FRAMES + pages * 8;
        let mdl = self.pool_allocate(PoolRequest { size, tag: TAG, nonpaged: true, zero: true })?;
        // Size counts 16 bits; longer MDLs than it can say exist on Windows too (Learn, IoAllocateMdl: 4 GiB limit).
        self.write(mdl + SIZE, size as u16);
        self.write(mdl + START_VA, address - address % PAGE);
        self.write(mdl + BYTE_COUNT, length);
        self.write(mdl + BYTE_OFFSET, (address % PAGE) as u32);
        Some(mdl)
    }

    /// Frees an MDL; it must not lock pages any more.
    pub fn free_mdl(&self, mdl: u64) {
        self.check_mdl(mdl);
        if self.memory.mdls.with(|mdls| mdls.locked.contains_key(&mdl)) {
            self.stop(
                Fault::new("MdlLocked", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                    .text(format!("an MDL is freed that still locks its pages: {mdl:#x}"))
                    .parameter(0xB9, "MDL freed with its pages locked")
                    .parameter(mdl, "the MDL"),
            );
        }
        self.pool_free(mdl);
    }

    pub(crate) fn check_mdl(&self, mdl: u64) {
        let flags: u16 = self.read(mdl + FLAGS);
        let (size, pages) = (u64::from(self.read::<u16>(mdl + SIZE)), self.mdl_pages(mdl));
        if size < FRAMES
            || (flags & PARTIAL == 0 && size < 0xFFFF && (FRAMES + pages * 8) as u16 > size as u16)
        {
            self.stop(
                Fault::new("MdlInvalid", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                    .text(format!("no valid MDL: {}", self.describe_address(mdl)))
                    .parameter(mdl, "the address"),
            );
        }
    }

    fn mdl_pages(&self, mdl: u64) -> u64 {
        let (count, offset): (u32, u32) = (self.read(mdl + BYTE_COUNT), self.read(mdl + BYTE_OFFSET));
        (u64::from(count) + u64::from(offset)).div_ceil(PAGE)
    }

    /// The first byte an MDL describes, in the address space it was made for.
    #[must_use]
    pub fn mdl_address(&self, mdl: u64) -> u64 {
        self.read::<u64>(mdl + START_VA) + u64::from(self.read::<u32>(mdl + BYTE_OFFSET))
    }

    /// The frames of an MDL whose frame numbers are filled in.
    fn mdl_frames(&self, mdl: u64) -> Vec<Frame> {
        let number = |page| self.read::<u64>(mdl + FRAMES + page * 8);
        let frame =
            |page| {
                let number = number(page);
                self.memory.physical.frame(number.wrapping_mul(PAGE)).unwrap_or_else(|| {
                    self.stop(Fault::new("MdlInvalid", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION).text(
                        format!("the MDL at {mdl:#x} holds frame number {number:#x}, which is no memory"),
                    ))
                })
            };
        (0..self.mdl_pages(mdl)).map(frame).collect()
    }

    fn fill_mdl(&self, mdl: u64, what: &str) {
        let start: u64 = self.read(mdl + START_VA);
        for page in 0..self.mdl_pages(mdl) {
            let address = start + page * PAGE;
            let Some(physical) = self.physical(address) else {
                self.stop(
                    Fault::new("MdlInvalid", bugcheck::KMODE_EXCEPTION_NOT_HANDLED)
                        .text(format!("{what}: no memory at {}", self.describe_address(address)))
                        .parameter(0xC000_0005, "exception code")
                        .parameter(address, "the address"),
                );
            };
            self.write(mdl + FRAMES + page * 8, physical / PAGE);
        }
    }

    /// Fills in the frames of an MDL for memory that is never paged.
    pub fn build_mdl_for_nonpaged(&self, mdl: u64) {
        self.check_mdl(mdl);
        let address = self.mdl_address(mdl);
        let pageable = self.memory.space.with_region(address, is_pageable).unwrap_or(false);
        if pageable {
            self.stop(
                Fault::new("MdlNonPaged", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                    .text(format!(
                        "MmBuildMdlForNonPagedPool for pageable memory: {}",
                        self.describe_address(address)
                    ))
                    .parameter(mdl, "the MDL"),
            );
        }
        self.fill_mdl(mdl, "MmBuildMdlForNonPagedPool");
        self.set_mdl_flags(mdl, SOURCE_IS_NONPAGED_POOL, 0);
        self.write(mdl + MAPPED_VA, address);
    }

    /// Locks the pages of an MDL in memory and fills in their frames; `write` when they are going to be written.
    pub fn lock_mdl(&self, mdl: u64, write: bool) {
        self.check_mdl(mdl);
        let (first, length) = (self.mdl_address(mdl), u64::from(self.read::<u32>(mdl + BYTE_COUNT)));
        if self.read::<u16>(mdl + FLAGS) & (PAGES_LOCKED | SOURCE_IS_NONPAGED_POOL) != 0 {
            self.stop(
                Fault::new("MdlLocked", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                    .text(format!("the pages of an MDL are locked twice: {mdl:#x}"))
                    .parameter(0xB6, "MDL locked twice")
                    .parameter(mdl, "the MDL"),
            );
        }
        let pageable = self.memory.space.with_region(first, is_pageable).unwrap_or(true);
        if pageable && self.irql() > 1 {
            self.stop(
                Fault::new("IrqlMmProbeAndLockPages", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION).text(
                    format!(
                        "pageable memory is locked at IRQL {}; APC_LEVEL is the highest allowed",
                        self.irql()
                    ),
                ),
            );
        }
        self.fill_mdl(mdl, "MmProbeAndLockPages");
        self.set_mdl_flags(mdl, PAGES_LOCKED | if write { WRITE_OPERATION } else { 0 }, 0);
        self.memory.mdls.with(|mdls| mdls.locked.insert(mdl, (first, first + length)));
    }

    /// Undoes [`Kernel::lock_mdl`], and the mapping if there is one.
    pub fn unlock_mdl(&self, mdl: u64) {
        self.check_mdl(mdl);
        if self.memory.mdls.with(|mdls| mdls.locked.remove(&mdl)).is_none() {
            self.stop(
                Fault::new("MdlLocked", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                    .text(format!("the pages of an MDL are unlocked that are not locked: {mdl:#x}"))
                    .parameter(0xB8, "MDL not locked")
                    .parameter(mdl, "the MDL"),
            );
        }
        if self.read::<u16>(mdl + FLAGS) & MAPPED_TO_SYSTEM_VA != 0 {
            self.unmap_mdl(mdl);
        }
        self.set_mdl_flags(mdl, 0, PAGES_LOCKED | WRITE_OPERATION);
    }

    /// Maps the pages of an MDL into the kernel's address space.
    pub fn map_mdl(&self, mdl: u64) -> Option<u64> {
        self.check_mdl(mdl);
        let flags: u16 = self.read(mdl + FLAGS);
        if flags & (MAPPED_TO_SYSTEM_VA | SOURCE_IS_NONPAGED_POOL) != 0 {
            return Some(self.read(mdl + MAPPED_VA));
        }
        if flags & (PAGES_LOCKED | PARTIAL) == 0 {
            self.stop(
                Fault::new("MdlLocked", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                    .text(format!("an MDL is mapped whose pages are not locked: {mdl:#x}"))
                    .parameter(mdl, "the MDL"),
            );
        }
        let frames = self.mdl_frames(mdl);
        let pages = frames.len() as u64;
        let start = self.memory.space.reserve(pages)?;
        self.memory.space.map(self.memory.physical.file(), start, &frames, Access::ReadWrite).ok()?;
        let address = start + u64::from(self.read::<u32>(mdl + BYTE_OFFSET));
        let used = (address, address + u64::from(self.read::<u32>(mdl + BYTE_COUNT)));
        let made_by = self.caller_address();
        self.memory.space.insert(Region {
            start,
            pages,
            used,
            frames,
            kind: Kind::Mapping,
            made_by,
            freed_by: None,
        });
        self.write(mdl + MAPPED_VA, address);
        self.set_mdl_flags(mdl, MAPPED_TO_SYSTEM_VA, 0);
        Some(address)
    }

    /// Undoes [`Kernel::map_mdl`].
    pub fn unmap_mdl(&self, mdl: u64) {
        let flags: u16 = self.read(mdl + FLAGS);
        if flags & SOURCE_IS_NONPAGED_POOL != 0 {
            return;
        }
        let address: u64 = self.read(mdl + MAPPED_VA);
        let start = address - address % PAGE;
        if flags & MAPPED_TO_SYSTEM_VA == 0 || self.memory.destroy(start, self.caller_address()).is_none() {
            self.stop(
                Fault::new("MdlMapped", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                    .text(format!("an MDL is unmapped that is not mapped: {mdl:#x}"))
                    .parameter(mdl, "the MDL"),
            );
        }
        self.write(mdl + MAPPED_VA, 0u64);
        self.set_mdl_flags(mdl, 0, MAPPED_TO_SYSTEM_VA);
    }

    /// Makes an MDL of pages that belong to nobody else, at or below physical address `highest`.
    pub(crate) fn allocate_pages(&self, length: u64, highest: u64, contiguous: bool) -> Option<u64> {
        let pages = length.div_ceil(PAGE);
        let frames = self.memory.physical.allocate(pages as usize, Placement { highest, contiguous })?;
        let Some(mdl) = self.allocate_mdl(0, u32::try_from(pages * PAGE).ok()?) else {
            self.memory.physical.free(&frames);
            return None;
        };
        for (page, &frame) in (0..).zip(&frames) {
            self.memory.physical.write(frame, 0, &[0; PAGE as usize]);
            self.write(mdl + FRAMES + page * 8, self.memory.physical.address(frame) / PAGE);
        }
        self.set_mdl_flags(mdl, PAGES_LOCKED, 0);
        self.memory.mdls.with(|mdls| mdls.owned.insert(mdl, frames));
        Some(mdl)
    }

    /// Frees the pages of an MDL that [`Kernel::allocate_pages`] made; the MDL itself stays.
    pub(crate) fn free_pages(&self, mdl: u64) {
        let Some(frames) = self.memory.mdls.with(|mdls| mdls.owned.remove(&mdl)) else {
            self.stop(
                Fault::new("MdlPages", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                    .text(format!("MmFreePagesFromMdl for an MDL that owns no pages: {mdl:#x}"))
                    .parameter(mdl, "the MDL"),
            );
        };
        self.memory.physical.free(&frames);
        self.set_mdl_flags(mdl, 0, PAGES_LOCKED);
    }

    /// Describes a part of what `source` describes.
    pub(crate) fn build_partial_mdl(&self, source: u64, target: u64, address: u64, length: u32) {
        let from_start = address.checked_sub(self.mdl_address(source));
        let total: u32 = self.read(source + BYTE_COUNT);
        let inside = from_start.filter(|&skip| skip + u64::from(length) <= u64::from(total));
        let Some(skip) = inside else {
            self.stop(Fault::new("MdlInvalid", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION).text(format!(
                "IoBuildPartialMdl for {length} bytes at {address:#x}, which the source does not describe"
            )));
        };
        let length = if length == 0 { total - skip as u32 } else { length };
        let first_page = (address - self.read::<u64>(source + START_VA)) / PAGE;
        self.write(target + START_VA, address - address % PAGE);
        self.write(target + BYTE_OFFSET, (address % PAGE) as u32);
        self.write(target + BYTE_COUNT, length);
        for page in 0..self.mdl_pages(target) {
            self.write(
                target + FRAMES + page * 8,
                self.read::<u64>(source + FRAMES + (first_page + page) * 8),
            );
        }
        self.set_mdl_flags(target, PARTIAL, 0);
    }

    fn set_mdl_flags(&self, mdl: u64, set: u16, clear: u16) {
        let flags: u16 = self.read(mdl + FLAGS);
        self.write(mdl + FLAGS, flags & !clear | set);
    }

    /// An MDL that locks pages in a range of addresses.
    pub(crate) fn locked_in(&self, start: u64, end: u64) -> Option<u64> {
        self.memory.mdls.with(|mdls| {
            mdls.locked.iter().find(|(_, range)| range.0 < end && start < range.1).map(|(&mdl, _)| mdl)
        })
    }
}

/// What may be paged out: paged pool and user memory.
fn is_pageable(region: &Region) -> bool {
    matches!(region.kind, Kind::User | Kind::Pool { nonpaged: false, .. })
}
