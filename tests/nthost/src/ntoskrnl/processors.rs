//! Processors: how many, which one, and where a thread may run. All processors are in group 0.

use super::status::{INVALID_PARAMETER, SUCCESS};
use crate::export::{ANY, DISPATCH};
use crate::kernel::Kernel;

/// `ALL_PROCESSOR_GROUPS`.
const ALL_GROUPS: u16 = 0xFFFF;

fn all(k: &Kernel) -> u64 {
    u64::MAX >> (64 - k.cpu_count())
}

/// A `PROCESSOR_NUMBER`: group (16 bits), number, reserved.
fn processor_number(cpu: u32) -> [u8; 4] {
    [0, 0, cpu as u8, 0]
}

fn count(k: &Kernel, group: u16) -> u32 {
    if group == 0 || group == ALL_GROUPS { k.cpu_count() } else { 0 }
}

/// Moves the current thread to the processors of `mask`.
fn set_affinity(k: &Kernel, mask: u64) -> u64 {
    let thread = k.current_thread();
    let old = thread.affinity.with(|affinity| std::mem::replace(affinity, mask));
    while mask >> k.cpu_number() & 1 == 0 && k.irql() < crate::cpu::irql::DISPATCH {
        k.preempt();
    }
    old
}

crate::export::exports! {
    module "ntoskrnl.exe";

    /// The processor that runs; its PROCESSOR_NUMBER too when asked for.
    fn KeGetCurrentProcessorNumberEx(k; number: u64) -> u32 [ANY, "Learn, KeGetCurrentProcessorNumberEx"] {
        let cpu = k.cpu_number();
        if number != 0 {
            k.write(number, processor_number(cpu));
        }
        cpu
    }

    /// How many processors are active in a group.
    pure fn KeQueryActiveProcessorCountEx(k; group: u16) -> u32 [ANY, "Learn, KeQueryActiveProcessorCountEx"] {
        count(k, group)
    }

    /// How many processors a group can have.
    pure fn KeQueryMaximumProcessorCountEx(k; group: u16) -> u32 [ANY, "Learn, KeQueryMaximumProcessorCountEx"] {
        count(k, group)
    }

    /// How many processors are active, and their mask.
    pure fn KeQueryActiveProcessorCount(k; mask: u64) -> u32 [ANY, "Learn, KeQueryActiveProcessorCount"] {
        if mask != 0 {
            k.write(mask, all(k));
        }
        k.cpu_count()
    }

    /// The mask of active processors.
    pure fn KeQueryActiveProcessors(k;) -> u64 [ANY, "Learn, KeQueryActiveProcessors"] {
        all(k)
    }

    /// The PROCESSOR_NUMBER of a system-wide index.
    pure fn KeGetProcessorNumberFromIndex(k; index: u32, number: u64) -> i32 [ANY, "Learn, KeGetProcessorNumberFromIndex"] {
        if index >= k.cpu_count() {
            return INVALID_PARAMETER;
        }
        k.write(number, processor_number(index));
        SUCCESS
    }

    /// The system-wide index of a PROCESSOR_NUMBER, or INVALID_PROCESSOR_INDEX.
    pure fn KeGetProcessorIndexFromNumber(k; number: u64) -> u32 [ANY, "Learn, KeGetProcessorIndexFromNumber"] {
        let [low, high, cpu, _]: [u8; 4] = k.read(number);
        if [low, high] == [0, 0] && u32::from(cpu) < k.cpu_count() { u32::from(cpu) } else { u32::MAX }
    }

    /// How many processor groups there are.
    pure fn KeQueryActiveGroupCount(k;) -> u16 [ANY, "Learn, KeQueryActiveGroupCount"] {
        1
    }

    /// The mask of active processors of a group.
    pure fn KeQueryGroupAffinity(k; group: u16) -> u64 [ANY, "Learn, KeQueryGroupAffinity"] {
        if group == 0 { all(k) } else { 0 }
    }

    /// The highest NUMA node number.
    pure fn KeQueryHighestNodeNumber(k;) -> u16 [ANY, "Learn, KeQueryHighestNodeNumber"] {
        0
    }

    /// Restricts the current thread to the processors of a mask; returns the old mask.
    fn KeSetSystemAffinityThreadEx(k; mask: u64) -> u64 [DISPATCH, "Learn, KeSetSystemAffinityThreadEx"] {
        let wanted = mask & all(k);
        set_affinity(k, if wanted == 0 { all(k) } else { wanted })
    }

    /// Undoes KeSetSystemAffinityThreadEx; zero means all processors.
    fn KeRevertToUserAffinityThreadEx(k; mask: u64) [DISPATCH, "Learn, KeRevertToUserAffinityThreadEx"] {
        set_affinity(k, if mask == 0 { all(k) } else { mask });
    }

    /// Restricts the current thread to a GROUP_AFFINITY (mask, group at 8); stores the old one.
    fn KeSetSystemGroupAffinityThread(k; affinity: u64, previous: u64) [DISPATCH, "Learn, KeSetSystemGroupAffinityThread"] {
        let (mask, group) = (k.read::<u64>(affinity) & all(k), k.read::<u16>(affinity + 8));
        let usable = group == 0 && mask != 0;
        let old = if usable { set_affinity(k, mask) } else { 0 };
        if previous != 0 {
            k.write_bytes(previous, &[0; 16]);
            k.write(previous, old);
        }
    }

    /// Undoes KeSetSystemGroupAffinityThread.
    fn KeRevertToUserGroupAffinityThread(k; previous: u64) [DISPATCH, "Learn, KeRevertToUserGroupAffinityThread"] {
        let mask: u64 = k.read(previous);
        set_affinity(k, if mask == 0 { all(k) } else { mask });
    }
}
