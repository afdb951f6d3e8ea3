//! The client's memory, as far as it has been handed over.
//!
//! A client maps ranges of bus addresses one by one, each with a file that holds the bytes. Behind a virtual IOMMU
//! there are many and they come and go, so a transfer is split where mappings end, and an address that is not
//! mapped is a bus fault of the engine and nothing worse.

use std::{collections::BTreeMap, fmt, fs::File, sync::atomic::Ordering};

use ioat_model::BusFault;
use vm_memory::{Bytes, FileOffset, MmapRegion, VolatileMemory, mmap::MmapRegionBuilder};

/// Ranges of bus addresses and what is behind them.
#[derive(Debug, Default)]
pub struct Memory {
    ranges: BTreeMap<u64, Range>,
    /// Set once the engine met a range without a file.
    complained: bool,
}

#[derive(Debug)]
struct Range {
    size: u64,
    /// `None` when the client passed no file: then nobody can reach it.
    bytes: Option<MmapRegion>,
    writable: bool,
}

/// What a client allows us to do with a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The engine may write.
    pub write: bool,
}

/// Why a range cannot be mapped or unmapped.
#[derive(Debug)]
pub enum BadRange {
    /// Empty or beyond the address space.
    Range,
    /// Overlapping one that is mapped, or cutting it in two.
    Overlap,
    /// The file is shorter than the range says, or cannot be mapped.
    File(String),
}

impl fmt::Display for BadRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range => f.write_str("the range is empty or leaves the address space"),
            Self::Overlap => f.write_str("only a part of the range belongs to one that is mapped"),
            Self::File(error) => write!(f, "its file cannot be mapped: {error}"),
        }
    }
}

impl std::error::Error for BadRange {}

const PROT_READ: i32 = 1;
const PROT_WRITE: i32 = 2;
const MAP_SHARED: i32 = 1;
const MAP_NORESERVE: i32 = 0x4000;

impl Memory {
    /// Adds the range at `address`, whose bytes are in `file` at `offset`.
    ///
    /// # Errors
    /// [`BadRange`].
    pub fn map(
        &mut self,
        address: u64,
        size: u64,
        offset: u64,
        file: Option<File>,
        access: Access,
    ) -> Result<(), BadRange> {
        let end = address.checked_add(size).filter(|_| size != 0).ok_or(BadRange::Range)?;
        if self.ranges.range(..end).next_back().is_some_and(|(start, range)| start + range.size > address) {
            return Err(BadRange::Overlap);
        }
        let bytes = file.map(|file| open(file, offset, size, access)).transpose()?;
        self.ranges.insert(address, Range { size, bytes, writable: access.write });
        Ok(())
    }

    /// Removes what is mapped from `address` on for `size` bytes.
    ///
    /// # Errors
    /// [`BadRange::Overlap`] when that would cut a range in two. Nothing there is nothing to remove: QEMU clears whole
    /// stretches of a virtual IOMMU that way.
    pub fn unmap(&mut self, address: u64, size: u64) -> Result<(), BadRange> {
        let end = address.checked_add(size).filter(|_| size != 0).ok_or(BadRange::Range)?;
        let before = self.ranges.range(..address).next_back();
        let cut_before = before.is_some_and(|(start, range)| start + range.size > address);
        let inside = self.ranges.range(address..end);
        let cut_behind = inside.clone().next_back().is_some_and(|(start, range)| start + range.size > end);
        let starts: Vec<u64> = inside.map(|(&start, _)| start).collect();
        if cut_before || cut_behind {
            return Err(BadRange::Overlap);
        }
        for start in starts {
            self.ranges.remove(&start);
        }
        Ok(())
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The range that holds `address` and the offset in it.
    fn find(&mut self, address: u64, write: bool) -> Result<(&MmapRegion, u64, u64), BusFault> {
        let fault = BusFault { address };
        let (start, range) = self.ranges.range(..=address).next_back().ok_or(fault)?;
        let offset = address - start;
        if offset >= range.size || (write && !range.writable) {
            return Err(fault);
        }
        let Some(bytes) = &range.bytes else {
            if !std::mem::replace(&mut self.complained, true) {
                eprintln!(
                    "ioat-vfio: guest memory at {address:#x} came without a file descriptor, so the engine cannot \
                     reach it; give QEMU shared memory: -object memory-backend-memfd,id=m,size=…,share=on \
                     -machine memory-backend=m"
                );
            }
            return Err(fault);
        };
        Ok((bytes, offset, range.size - offset))
    }

    /// Reads bytes that may lie in several ranges.
    ///
    /// # Errors
    /// Some of them are not mapped.
    pub fn read(&mut self, mut address: u64, mut into: &mut [u8]) -> Result<(), BusFault> {
        while !into.is_empty() {
            let (bytes, offset, rest) = self.find(address, false)?;
            let length = into.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
            let (head, tail) = into.split_at_mut(length);
            let slice = bytes.get_slice(offset as usize, length).map_err(|_| BusFault { address })?;
            slice.read_slice(head, 0).map_err(|_| BusFault { address })?;
            into = tail;
            address = address.wrapping_add(length as u64);
        }
        Ok(())
    }

    /// Writes bytes that may lie in several ranges.
    ///
    /// # Errors
    /// Some of them are not mapped or not writable; those before are written.
    pub fn write(&mut self, mut address: u64, mut from: &[u8]) -> Result<(), BusFault> {
        while !from.is_empty() {
            let (bytes, offset, rest) = self.find(address, true)?;
            let length = from.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
            let (head, tail) = from.split_at(length);
            let slice = bytes.get_slice(offset as usize, length).map_err(|_| BusFault { address })?;
            slice.write_slice(head, 0).map_err(|_| BusFault { address })?;
            from = tail;
            address = address.wrapping_add(length as u64);
        }
        Ok(())
    }

    /// Stores eight aligned bytes at once, behind every earlier write.
    ///
    /// # Errors
    /// They are not mapped, not writable or not aligned.
    pub fn store(&mut self, address: u64, value: u64) -> Result<(), BusFault> {
        let (bytes, offset, rest) = self.find(address, true)?;
        let slice =
            bytes.get_slice(offset as usize, rest.min(8) as usize).map_err(|_| BusFault { address })?;
        slice.store(value, 0, Ordering::Release).map_err(|_| BusFault { address })
    }
}

fn open(file: File, offset: u64, size: u64, access: Access) -> Result<MmapRegion, BadRange> {
    let length = file.metadata().map_err(|error| BadRange::File(error.to_string()))?.len();
    let end = offset.checked_add(size).ok_or(BadRange::Range)?;
    if length < end {
        return Err(BadRange::File(format!("it has {length} bytes, not {end}")));
    }
    let size = usize::try_from(size).map_err(|_| BadRange::Range)?;
    let protection = if access.write { PROT_READ | PROT_WRITE } else { PROT_READ };
    MmapRegionBuilder::new(size)
        .with_mmap_prot(protection)
        .with_mmap_flags(MAP_SHARED | MAP_NORESERVE)
        .with_file_offset(FileOffset::new(file, offset))
        .build()
        .map_err(|error| BadRange::File(error.to_string()))
}
