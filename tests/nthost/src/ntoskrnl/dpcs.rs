//! DPCs and timers.

use super::status::{INVALID_PARAMETER, SUCCESS};
use crate::cpu::dpc::{DPC_TYPE, THREADED_DPC_TYPE};
use crate::cpu::timer::{TIMER_NOTIFICATION, TIMER_SYNCHRONIZATION};
use crate::export::{ANY, DISPATCH, PASSIVE};
use crate::kernel::Kernel;
use crate::stop::{Fault, bugcheck};

fn check_dpc(k: &Kernel, dpc: u64) {
    let kind: u8 = k.read(dpc);
    if kind != DPC_TYPE && kind != THREADED_DPC_TYPE {
        k.stop(
            Fault::new("DpcObject", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                .text(format!("no initialised DPC: {}", k.describe_address(dpc)))
                .parameter(dpc, "the address"),
        );
    }
}

fn check_timer(k: &Kernel, timer: u64) {
    let kind: u8 = k.read(timer);
    if kind != TIMER_NOTIFICATION && kind != TIMER_SYNCHRONIZATION {
        k.stop(
            Fault::new("TimerObject", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                .text(format!("no initialised timer: {}", k.describe_address(timer)))
                .parameter(timer, "the address"),
        );
    }
}

/// A timer that is set must not be initialised again (Learn, KeInitializeTimerEx); Driver Verifier stops there too.
fn initialize_timer(k: &Kernel, timer: u64, kind: u8) {
    if k.is_timer_set(timer) {
        k.stop(
            Fault::new("TimerObject", bugcheck::TIMER_OR_DPC_INVALID)
                .text(format!("a timer that is set is initialised again: {}", k.describe_address(timer)))
                .parameter(timer, "the timer"),
        );
    }
    k.initialize_timer(timer, kind);
}

fn set_timer(k: &Kernel, timer: u64, due: i64, period: i32, dpc: u64) -> u8 {
    check_timer(k, timer);
    if dpc != 0 {
        check_dpc(k, dpc);
    }
    u8::from(k.set_timer(timer, due, period.max(0) as u32, dpc))
}

crate::export::exports! {
    module "ntoskrnl.exe";

    /// Makes a DPC.
    pure fn KeInitializeDpc(k; dpc: u64, routine: u64, context: u64) [ANY, "Learn, KeInitializeDpc"] {
        k.initialize_dpc(dpc, DPC_TYPE, routine, context);
    }

    /// Makes a threaded DPC. It runs like an ordinary one here, which Windows may do as well.
    pure fn KeInitializeThreadedDpc(k; dpc: u64, routine: u64, context: u64) [ANY, "Learn, KeInitializeThreadedDpc"] {
        k.initialize_dpc(dpc, THREADED_DPC_TYPE, routine, context);
    }

    /// Sets how soon a DPC runs.
    fn KeSetImportanceDpc(k; dpc: u64, importance: i32) [ANY, "Learn, KeSetImportanceDpc"] {
        check_dpc(k, dpc);
        k.set_dpc_importance(dpc, importance as u8);
    }

    /// Sets the processor a DPC runs on, by number in group 0.
    fn KeSetTargetProcessorDpc(k; dpc: u64, number: i8) [ANY, "Learn, KeSetTargetProcessorDpc"] {
        check_dpc(k, dpc);
        if u32::try_from(number).is_ok_and(|number| number < k.cpu_count()) {
            k.set_dpc_target(dpc, number as u32);
        }
    }

    /// Sets the processor a DPC runs on, by a PROCESSOR_NUMBER.
    fn KeSetTargetProcessorDpcEx(k; dpc: u64, number: u64) -> i32 [ANY, "Learn, KeSetTargetProcessorDpcEx"] {
        check_dpc(k, dpc);
        let [group_low, group_high, cpu, reserved]: [u8; 4] = k.read(number);
        if u32::from(cpu) >= k.cpu_count() || [group_low, group_high, reserved] != [0; 3] {
            return INVALID_PARAMETER;
        }
        k.set_dpc_target(dpc, u32::from(cpu));
        SUCCESS
    }

    /// Queues a DPC; FALSE when it is queued already.
    fn KeInsertQueueDpc(k; dpc: u64, first: u64, second: u64) -> u8 [ANY, "Learn, KeInsertQueueDpc"] {
        check_dpc(k, dpc);
        u8::from(k.queue_dpc(dpc, first, second))
    }

    /// Takes a DPC off its queue; FALSE when it was not queued.
    fn KeRemoveQueueDpc(k; dpc: u64) -> u8 [ANY, "Learn, KeRemoveQueueDpc"] {
        check_dpc(k, dpc);
        u8::from(k.remove_dpc(dpc))
    }

    /// Waits until all queued DPCs have run.
    fn KeFlushQueuedDpcs(k;) [PASSIVE, "Learn, KeFlushQueuedDpcs"] {
        k.flush_dpcs();
    }

    /// Makes a notification timer.
    pure fn KeInitializeTimer(k; timer: u64) [DISPATCH, "Learn, KeInitializeTimer"] {
        initialize_timer(k, timer, TIMER_NOTIFICATION);
    }

    /// Makes a timer: type 0 notification, 1 synchronization.
    pure fn KeInitializeTimerEx(k; timer: u64, kind: i32) [DISPATCH, "Learn, KeInitializeTimerEx"] {
        initialize_timer(k, timer, if kind == 0 { TIMER_NOTIFICATION } else { TIMER_SYNCHRONIZATION });
    }

    /// Sets a timer; TRUE when it was set already.
    fn KeSetTimer(k; timer: u64, due: i64, dpc: u64) -> u8 [DISPATCH, "Learn, KeSetTimer"] {
        set_timer(k, timer, due, 0, dpc)
    }

    /// Sets a timer that repeats every `period` milliseconds.
    fn KeSetTimerEx(k; timer: u64, due: i64, period: i32, dpc: u64) -> u8 [DISPATCH, "Learn, KeSetTimerEx"] {
        set_timer(k, timer, due, period, dpc)
    }

    /// Sets a timer that may be late by `tolerance` milliseconds.
    fn KeSetCoalescableTimer(k; timer: u64, due: i64, period: u32, tolerance: u32, dpc: u64) -> u8 [DISPATCH, "Learn, KeSetCoalescableTimer"] {
        let late = k.choose(u64::from(tolerance) + 1) as i64 * 10_000;
        set_timer(k, timer, if due < 0 { due.saturating_sub(late) } else { due.saturating_add(late) }, period as i32, dpc)
    }

    /// Takes a timer out of the queue; TRUE when it was set.
    fn KeCancelTimer(k; timer: u64) -> u8 [DISPATCH, "Learn, KeCancelTimer"] {
        check_timer(k, timer);
        u8::from(k.cancel_timer(timer))
    }

    /// Whether a timer is signaled.
    fn KeReadStateTimer(k; timer: u64) -> u8 [DISPATCH, "Learn, KeReadStateTimer"] {
        u8::from(k.signal_state(timer) > 0)
    }
}
