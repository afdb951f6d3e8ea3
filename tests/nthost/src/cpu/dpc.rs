//! Deferred procedure calls.
//!
//! A `KDPC` lives in the driver's memory (wdm.h: Type, Importance, Number, DpcListEntry, ProcessorHistory,
//! DeferredRoutine, DeferredContext, SystemArgument1, SystemArgument2, DpcData; 0x40 bytes on x64). It is queued on a
//! processor exactly while `DpcData` is not null, as on Windows.

use std::sync::atomic::Ordering;

use super::irql::DISPATCH;
use crate::kernel::Kernel;

/// `KOBJECTS`: DpcObject and ThreadedDpcObject.
pub(crate) const DPC_TYPE: u8 = 19;
pub(crate) const THREADED_DPC_TYPE: u8 = 26;
/// `KDPC_IMPORTANCE` HighImportance: the front of the queue.
const HIGH_IMPORTANCE: u8 = 2;

const IMPORTANCE: u64 = 1;
const NUMBER: u64 = 2;
pub(crate) const ROUTINE: u64 = 0x18;
const CONTEXT: u64 = 0x20;
const ARGUMENT1: u64 = 0x28;
const ARGUMENT2: u64 = 0x30;
const DATA: u64 = 0x38;
/// Bytes of a `KDPC`.
pub(crate) const SIZE: u64 = 0x40;
/// Added to the processor's number in `Number` by KeSetTargetProcessorDpc, so that zero means "where it is queued".
/// The field is opaque to drivers; the encoding is our choice.
const TARGETED: u16 = 0x800;

impl Kernel {
    pub(crate) fn initialize_dpc(&self, dpc: u64, kind: u8, routine: u64, context: u64) {
        self.write_bytes(dpc, &[0; SIZE as usize]);
        self.write(dpc, kind);
        self.write(dpc + IMPORTANCE, 1u8);
        self.write(dpc + ROUTINE, routine);
        self.write(dpc + CONTEXT, context);
    }

    pub(crate) fn set_dpc_importance(&self, dpc: u64, importance: u8) {
        self.write(dpc + IMPORTANCE, importance);
    }

    pub(crate) fn set_dpc_target(&self, dpc: u64, cpu: u32) {
        self.write(dpc + NUMBER, TARGETED + cpu as u16);
    }

    /// Queues a DPC; false when it is queued already.
    pub(crate) fn queue_dpc(&self, dpc: u64, argument1: u64, argument2: u64) -> bool {
        if self.read::<u64>(dpc + DATA) != 0 {
            return false;
        }
        let number: u16 = self.read(dpc + NUMBER);
        let cpu = number.checked_sub(TARGETED).map_or(self.cpu_number(), u32::from);
        self.write(dpc + ARGUMENT1, argument1);
        self.write(dpc + ARGUMENT2, argument2);
        self.write(dpc + DATA, u64::from(cpu) + 1);
        let front = self.read::<u8>(dpc + IMPORTANCE) >= HIGH_IMPORTANCE;
        self.cpus.list[cpu as usize]
            .dpcs
            .with(|dpcs| if front { dpcs.push_front(dpc) } else { dpcs.push_back(dpc) });
        self.note_news();
        self.record("DPC queued on cpu", u64::from(cpu));
        true
    }

    /// Takes a DPC off its queue; false when it was not queued.
    pub(crate) fn remove_dpc(&self, dpc: u64) -> bool {
        let Some(cpu) = self.read::<u64>(dpc + DATA).checked_sub(1) else { return false };
        self.write(dpc + DATA, 0u64);
        if let Some(cpu) = self.cpus.list.get(cpu as usize) {
            cpu.dpcs.with(|dpcs| dpcs.retain(|&queued| queued != dpc));
        }
        true
    }

    pub(super) fn has_dpc(&self) -> bool {
        !self.cpu().dpcs.with(|dpcs| dpcs.is_empty())
    }

    /// Empties this processor's queue at DISPATCH_LEVEL.
    pub(super) fn run_dpcs(&self) {
        let old = self.irql();
        self.set_irql(DISPATCH);
        while let Some(dpc) = self.cpu().dpcs.with(|dpcs| dpcs.pop_front()) {
            let [routine, context] = [ROUTINE, CONTEXT].map(|field| self.read::<u64>(dpc + field));
            let [argument1, argument2] = [ARGUMENT1, ARGUMENT2].map(|field| self.read::<u64>(dpc + field));
            self.write(dpc + DATA, 0u64);
            self.cpu().running_dpc.store(dpc, Ordering::Relaxed);
            self.record("DPC runs", 0);
            self.note_raised();
            self.call("DPC", routine, &[dpc, context, argument1, argument2]);
            self.cpu().running_dpc.store(0, Ordering::Relaxed);
            self.check_raised_time("a DPC");
        }
        self.set_irql(old);
    }

    /// Waits until every DPC that is queued or running now has returned.
    pub(crate) fn flush_dpcs(&self) {
        let before = self.queued_dpcs();
        let running = || self.cpus.list.iter().any(|cpu| cpu.running_dpc.load(Ordering::Relaxed) != 0);
        let queued = |dpc: &u64| self.cpus.list.iter().any(|cpu| cpu.dpcs.with(|dpcs| dpcs.contains(dpc)));
        while running() || before.iter().any(queued) {
            self.switch_point();
            self.give_way();
        }
    }

    /// All DPCs that are queued on some processor.
    pub(crate) fn queued_dpcs(&self) -> Vec<u64> {
        self.cpus.list.iter().flat_map(|cpu| cpu.dpcs.with(|dpcs| Vec::from(dpcs.clone()))).collect()
    }

    /// The queued DPCs whose object lies in a range of addresses.
    pub(crate) fn dpcs_in(&self, start: u64, end: u64) -> Option<u64> {
        self.queued_dpcs().into_iter().find(|dpc| (start..end).contains(dpc))
    }
}
