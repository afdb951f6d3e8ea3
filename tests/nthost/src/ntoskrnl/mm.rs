//! Memory: device registers, physical addresses, contiguous memory, looking up routines.

use crate::export::{ANY, DISPATCH, PASSIVE};
use crate::kernel::Kernel;
use crate::memory::Create;
use crate::memory::physical::{PAGE, Placement};
use crate::memory::space::{Access, Kind, Region};
use crate::stop::{Fault, bugcheck};

/// Page protections that MmMapIoSpaceEx takes (Learn): exactly one of these, with PAGE_NOCACHE or PAGE_WRITECOMBINE.
const READ_ONLY: u32 = 0x02;
const READ_WRITE: u32 = 0x04;
const NO_CACHE: u32 = 0x200;
const WRITE_COMBINE: u32 = 0x400;

fn map(k: &Kernel, physical: u64, length: u64) -> u64 {
    if length == 0 {
        return 0;
    }
    if k.mmio_target(physical).is_none() {
        if let Some(address) = map_memory(k, physical, length) {
            return address;
        }
        k.stop(
            Fault::new("MapRegisters", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                .text(format!(
                    "physical address {physical:#x} is mapped; neither does a device answer there, nor is it memory of anybody"
                ))
                .parameter(physical, "the physical address")
                .parameter(length, "the length"),
        );
    }
    k.map_io_space(physical, length).unwrap_or(0)
}

/// Maps memory that is in use a second time, as Windows lets a driver do that stands in for a device (Learn, MmMapIoSpaceEx:
/// not for page tables; the caching must be that of the other mapping).
fn map_memory(k: &Kernel, physical: u64, length: u64) -> Option<u64> {
    let first = physical - physical % PAGE;
    let pages = pages_of(physical, length);
    let frames: Option<Vec<_>> = (0..pages)
        .map(|page| {
            let frame = k.memory.physical.frame(first + page * PAGE)?;
            k.memory.physical.is_used(frame).then_some(frame)
        })
        .collect();
    let frames = frames?;
    let start = k.memory.space.reserve(pages)?;
    k.memory.space.map(k.memory.physical.file(), start, &frames, Access::ReadWrite).ok()?;
    let used = start + physical % PAGE;
    k.memory.space.insert(Region {
        start,
        pages,
        used: (used, used + length),
        frames,
        kind: Kind::Mapping,
        made_by: k.caller_address(),
        freed_by: None,
    });
    Some(used)
}

fn contiguous(k: &Kernel, size: u64, highest: u64) -> u64 {
    let mut create = Create::new(Kind::Contiguous("contiguous memory".to_owned()), size.max(1));
    create.placement = Placement { highest, contiguous: true };
    create.made_by = k.caller_address();
    k.memory.create(&create).unwrap_or(0)
}

fn free_contiguous(k: &Kernel, address: u64) {
    let by = k.caller_address();
    let is_contiguous = k.memory.space.with_region(address, |region| {
        matches!(region.kind, Kind::Contiguous(_)) && region.start == address && region.freed_by.is_none()
    });
    if is_contiguous != Some(true) {
        k.stop(
            Fault::new("ContiguousMemory", bugcheck::BAD_POOL_CALLER)
                .text(format!("freed as contiguous memory: {}", k.describe_address(address)))
                .parameter(address, "the address"),
        );
    }
    k.memory.destroy(address, by);
}

crate::export::exports! {
    module "ntoskrnl.exe";

    /// Maps device registers, or memory that is in use.
    fn MmMapIoSpaceEx(k; physical: u64, length: u64, protection: u32) -> u64 [DISPATCH, "Learn, MmMapIoSpaceEx"] {
        if k.allocation_fails() {
            return 0;
        }
        let access = protection & (READ_ONLY | READ_WRITE);
        let cache = protection & (NO_CACHE | WRITE_COMBINE);
        let known = READ_ONLY | READ_WRITE | NO_CACHE | WRITE_COMBINE;
        if access.count_ones() != 1 || cache.count_ones() > 1 || protection & !known != 0 {
            return 0;
        }
        map(k, physical, length)
    }

    /// Maps device registers (or other physical memory) as readable, writable and executable.
    fn MmMapIoSpace(k; physical: u64, length: u64, cache: i32) -> u64 [DISPATCH, "Learn, MmMapIoSpace"] {
        if k.allocation_fails() {
            return 0;
        }
        let _ = cache;
        map(k, physical, length)
    }

    /// Unmaps device registers.
    fn MmUnmapIoSpace(k; address: u64, length: u64) [DISPATCH, "Learn, MmUnmapIoSpace"] {
        let by = k.caller_address();
        let start = k.memory.space.with_region(address, |region| {
            let whole = region.used == (address, address + length) && region.freed_by.is_none();
            (whole && matches!(region.kind, Kind::Mmio(_) | Kind::Mapping)).then_some(region.start)
        });
        let Some(Some(start)) = start else {
            k.stop(Fault::new("MapRegisters", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                .text(format!("MmUnmapIoSpace of {length:#x} bytes at something that was not mapped so: {}",
                    k.describe_address(address)))
                .parameter(address, "the address"));
        };
        k.memory.destroy(start, by);
    }

    /// The physical address behind a virtual one; zero where nothing is mapped.
    pure fn MmGetPhysicalAddress(k; address: u64) -> u64 [ANY, "Learn, MmGetPhysicalAddress"] {
        k.physical(address).unwrap_or(0)
    }

    /// Whether reading an address would not fault.
    pure fn MmIsAddressValid(k; address: u64) -> u8 [DISPATCH, "Learn, MmIsAddressValid"] {
        u8::from(k.physical(address).is_some())
    }

    /// Physically contiguous memory.
    fn MmAllocateContiguousMemorySpecifyCache(k; size: u64, lowest: u64, highest: u64, boundary: u64, cache: i32) -> u64 [DISPATCH, "Learn, MmAllocateContiguousMemorySpecifyCache"] {
        if k.allocation_fails() {
            return 0;
        }
        let _ = (cache, boundary);
        let address = contiguous(k, size, highest);
        if address != 0 && k.physical(address).is_some_and(|physical| physical < lowest) {
            k.memory.destroy(address, 0);
            return 0;
        }
        address
    }

    /// Physically contiguous memory.
    fn MmAllocateContiguousMemory(k; size: u64, highest: u64) -> u64 [DISPATCH, "Learn, MmAllocateContiguousMemory"] {
        if k.allocation_fails() {
            return 0;
        }
        contiguous(k, size, highest)
    }

    /// Frees physically contiguous memory.
    fn MmFreeContiguousMemory(k; address: u64) [DISPATCH, "Learn, MmFreeContiguousMemory"] {
        free_contiguous(k, address);
    }

    /// Frees physically contiguous memory.
    fn MmFreeContiguousMemorySpecifyCache(k; address: u64, size: u64, cache: i32) [DISPATCH, "Learn, MmFreeContiguousMemorySpecifyCache"] {
        let _ = (size, cache);
        free_contiguous(k, address);
    }

    /// The address of a kernel routine by name, or null.
    fn MmGetSystemRoutineAddress(k; name: u64) -> u64 [PASSIVE, "Learn, MmGetSystemRoutineAddress"] {
        let name = k.unicode_string(name);
        let export = ["ntoskrnl.exe", "hal.dll"].iter().find_map(|module| k.find_export(Some(module), &name));
        export.map_or(0, |export| k.export_address(export))
    }
}

/// Whole pages that `length` bytes at `address` touch.
pub(crate) fn pages_of(address: u64, length: u64) -> u64 {
    (address % PAGE + length).div_ceil(PAGE)
}
