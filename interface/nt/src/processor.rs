//! Processors: by system-wide index, as NetDMA counts them, and by group and number, as the kernel does.
//!
//! Any IRQL ("KeGetProcessorNumberFromIndex", "KeQueryActiveProcessorCountEx"), except where a token says otherwise.

use core::arch::x86_64::{__cpuid, __cpuid_count};
use core::ptr;

use wdk_sys::ntddk::{
    KeGetCurrentProcessorNumberEx, KeGetProcessorIndexFromNumber, KeGetProcessorNumberFromIndex,
    KeQueryActiveProcessorCountEx, KeQueryGroupAffinity, KeRevertToUserGroupAffinityThread,
    KeSetSystemGroupAffinityThread,
};
use wdk_sys::{ALL_PROCESSOR_GROUPS, GROUP_AFFINITY, KAFFINITY, PROCESSOR_NUMBER, USHORT};

use crate::irql::{Dispatch, Passive};
use crate::{Result, Status};

/// A processor by group and number in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// Processor group, from 0.
    pub group: u16,
    /// Number in the group, 0..63.
    pub number: u8,
}

impl Number {
    /// The processor with this system-wide index.
    ///
    /// # Errors
    /// INVALID_PARAMETER when there is no such processor.
    pub fn from_index(index: u32) -> Result<Self> {
        let mut number = PROCESSOR_NUMBER::default();
        // SAFETY: the pointer is to a local that the function writes.
        Status::check(unsafe { KeGetProcessorNumberFromIndex(index, &mut number) })?;
        Ok(Self { group: number.Group, number: number.Number })
    }

    /// The system-wide index; `None` when there is no such processor.
    #[must_use]
    pub fn index(self) -> Option<u32> {
        let mut number = self.into_raw();
        // SAFETY: the pointer is to a local that the function reads.
        let index = unsafe { KeGetProcessorIndexFromNumber(&mut number) };
        // INVALID_PROCESSOR_INDEX of ntddk.h is all ones.
        (index != u32::MAX).then_some(index)
    }

    /// The processor's APIC id, by which hardware knows it. Asks the processor itself, so the calling thread visits it.
    #[must_use]
    pub fn apic_id(self, _irql: &mut Passive) -> u32 {
        let mut there = GROUP_AFFINITY {
            Mask: KAFFINITY::from(1_u8).wrapping_shl(self.number.into()),
            Group: self.group,
            ..GROUP_AFFINITY::default()
        };
        let mut before = GROUP_AFFINITY::default();
        // SAFETY: both are locals; at PASSIVE_LEVEL the thread is on the processor when the call returns.
        unsafe { KeSetSystemGroupAffinityThread(&mut there, &mut before) };
        let id = apic_id_here();
        // SAFETY: the affinity is what the call before stored.
        unsafe { KeRevertToUserGroupAffinityThread(&mut before) };
        id
    }

    /// As the kernel's structures hold it.
    #[must_use]
    pub const fn into_raw(self) -> PROCESSOR_NUMBER {
        PROCESSOR_NUMBER { Group: self.group, Number: self.number, Reserved: 0 }
    }
}

/// The APIC id of the processor this runs on: 32 bits in EDX of leaf 0BH where that leaf has something to say, which EBX tells,
/// else 8 bits at the top of leaf 1's EBX (Intel SDM 2A, CPUID; AMD APM 3, appendix E).
fn apic_id_here() -> u32 {
    const TOPOLOGY: u32 = 0xB;
    if __cpuid(0).eax >= TOPOLOGY {
        let topology = __cpuid_count(TOPOLOGY, 0);
        if topology.ebx != 0 {
            return topology.edx;
        }
    }
    __cpuid(1).ebx >> 24
}

/// System-wide index of the processor this runs on; at DISPATCH_LEVEL it stays that.
#[must_use]
pub fn current(_irql: &Dispatch) -> u32 {
    // SAFETY: null is allowed: the group and number are not wanted.
    unsafe { KeGetCurrentProcessorNumberEx(ptr::null_mut()) }
}

/// Number of active processors in all groups; indexes are below it.
#[must_use]
pub fn count() -> u32 {
    // SAFETY: no precondition.
    unsafe { KeQueryActiveProcessorCountEx(ALL_PROCESSOR_GROUPS as USHORT) }
}

/// Active processors of `group` as a mask; 0 for a group that does not exist.
#[must_use]
pub fn group_mask(group: u16) -> KAFFINITY {
    // SAFETY: no precondition.
    unsafe { KeQueryGroupAffinity(group) }
}
