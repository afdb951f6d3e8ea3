//! The rules of kernel services: each breaks once and stops the machine with its name.

use nthost::{Kernel, Machine, Stop};

fn stop_of(work: impl FnOnce(&Kernel)) -> Box<Stop> {
    let mut machine = Machine::builder().cpus(1).memory(16 << 20).host_code(true).build().expect("a machine");
    machine.run(work).expect_err("a stop")
}

fn lock(k: &Kernel) -> u64 {
    let lock = k.system_allocate(8, "lock");
    k.call_export("KeInitializeSpinLock", &[lock]);
    lock
}

#[test]
fn a_call_above_its_documented_irql_stops_the_machine() {
    let stop = stop_of(|k| {
        k.call_export("KfRaiseIrql", &[2]);
        k.call_export("KeFlushQueuedDpcs", &[]);
    });
    assert_eq!(stop.rule, "IrqlCheck", "{stop}");
    assert!(stop.text.contains("KeFlushQueuedDpcs was called at IRQL 2"), "{stop}");
    assert_eq!(stop.irql, 2);
    assert_eq!(stop.stack[0].symbol, "ntoskrnl.exe!KeFlushQueuedDpcs");
}

#[test]
fn raising_down_and_lowering_up_stop_the_machine() {
    let stop = stop_of(|k| {
        k.call_export("KfRaiseIrql", &[2]);
        k.call_export("KfRaiseIrql", &[1]);
    });
    assert_eq!(stop.name, "IRQL_NOT_GREATER_OR_EQUAL", "{stop}");
    let stop = stop_of(|k| {
        k.call_export("KeLowerIrql", &[2]);
    });
    assert_eq!(stop.name, "IRQL_NOT_LESS_OR_EQUAL", "{stop}");
}

#[test]
fn waiting_at_dispatch_level_stops_the_machine_but_a_look_is_allowed() {
    let stop = stop_of(|k| {
        let event = k.system_allocate(0x18, "event");
        k.call_export("KeInitializeEvent", &[event, 0, 0]);
        let zero = k.system_allocate(8, "timeout");
        k.call_export("KfRaiseIrql", &[2]);
        assert_eq!(k.call_export("KeWaitForSingleObject", &[event, 0, 0, 0, zero]), 0x102);
        k.call_export("KeWaitForSingleObject", &[event, 0, 0, 0, 0]);
    });
    assert_eq!(stop.rule, "IrqlKeDispatchLte", "{stop}");
}

#[test]
fn a_spin_lock_taken_twice_by_one_processor_stops_the_machine() {
    let stop = stop_of(|k| {
        let lock = lock(k);
        k.call_export("KeAcquireSpinLockRaiseToDpc", &[lock]);
        k.call_export("KeAcquireSpinLockAtDpcLevel", &[lock]);
    });
    assert_eq!(stop.name, "SPIN_LOCK_ALREADY_OWNED", "{stop}");
    assert_eq!(stop.locks.len(), 1);
}

#[test]
fn a_spin_lock_released_by_nobody_stops_the_machine() {
    let stop = stop_of(|k| {
        let lock = lock(k);
        k.call_export("KfRaiseIrql", &[2]);
        k.call_export("KeReleaseSpinLockFromDpcLevel", &[lock]);
    });
    assert_eq!(stop.name, "SPIN_LOCK_NOT_OWNED", "{stop}");
}

#[test]
fn a_spin_lock_that_was_overwritten_stops_the_machine() {
    let stop = stop_of(|k| {
        let lock = lock(k);
        k.write(lock, 0x5555u64);
        k.call_export("KeAcquireSpinLockRaiseToDpc", &[lock]);
    });
    assert_eq!(stop.rule, "SpinLockValue", "{stop}");
}

#[test]
fn lowering_the_irql_with_a_spin_lock_held_stops_the_machine() {
    let stop = stop_of(|k| {
        let lock = lock(k);
        k.call_export("KeAcquireSpinLockRaiseToDpc", &[lock]);
        k.call_export("KeLowerIrql", &[0]);
    });
    assert_eq!(stop.rule, "SpinLockIrql", "{stop}");
}

/// Takes two spin locks in an order and gives them back.
fn take_both(k: &Kernel, first: u64, second: u64) {
    let old = k.call_export("KeAcquireSpinLockRaiseToDpc", &[first]);
    k.call_export("KeAcquireSpinLockAtDpcLevel", &[second]);
    k.call_export("KeReleaseSpinLockFromDpcLevel", &[second]);
    k.call_export("KeReleaseSpinLock", &[first, old]);
}

#[test]
fn two_spin_locks_taken_in_both_orders_stop_the_machine_without_a_deadlock() {
    let stop = stop_of(|k| {
        let (one, two) = (lock(k), lock(k));
        take_both(k, one, two);
        take_both(k, one, two);
        take_both(k, two, one);
    });
    assert_eq!((stop.rule.as_ref(), stop.parameters[0].value), ("Deadlock", 0x1001), "{stop}");
}

#[test]
fn three_spin_locks_taken_in_a_circle_stop_the_machine() {
    let stop = stop_of(|k| {
        let (one, two, three) = (lock(k), lock(k), lock(k));
        take_both(k, one, two);
        take_both(k, two, three);
        take_both(k, three, one);
    });
    assert_eq!(stop.rule, "Deadlock", "{stop}");
}

#[test]
fn a_processor_kept_at_dispatch_level_for_too_long_stops_the_machine() {
    let stop = stop_of(|k| {
        k.call_export("KfRaiseIrql", &[2]);
        k.call_export("KeStallExecutionProcessor", &[9_000]);
        k.call_export("KeStallExecutionProcessor", &[2_000]);
        k.call_export("KeLowerIrql", &[0]);
    });
    assert_eq!(stop.name, "DPC_WATCHDOG_VIOLATION", "{stop}");
}

#[test]
fn a_processor_at_dispatch_level_for_a_while_is_allowed() {
    let mut machine = Machine::builder().cpus(1).memory(16 << 20).build().expect("a machine");
    machine
        .run(|k| {
            for _ in 0..3 {
                k.call_export("KfRaiseIrql", &[2]);
                k.call_export("KeStallExecutionProcessor", &[9_000]);
                k.call_export("KeLowerIrql", &[0]);
            }
        })
        .unwrap_or_else(|stop| panic!("{stop}"));
}

#[test]
fn a_routine_that_returns_at_another_irql_stops_the_machine() {
    extern "win64" fn raises() {
        Kernel::with_current(|k| k.call_export("KfRaiseIrql", &[2]));
    }
    let stop = stop_of(|k| {
        k.call("raises", raises as *const () as u64, &[]);
    });
    assert_eq!(stop.rule, "IrqlReturn", "{stop}");
}

#[test]
fn a_call_to_something_that_is_no_code_stops_the_machine() {
    let stop = stop_of(|k| {
        let data = k.system_allocate(16, "data");
        k.call("data", data, &[]);
    });
    assert_eq!(stop.rule, "DriverCode", "{stop}");
}

#[test]
fn a_dpc_that_was_never_initialised_stops_the_machine() {
    let stop = stop_of(|k| {
        let dpc = k.system_allocate(0x40, "dpc");
        k.call_export("KeInsertQueueDpc", &[dpc, 0, 0]);
    });
    assert_eq!(stop.rule, "DpcObject", "{stop}");
}

#[test]
fn a_set_timer_initialised_again_stops_the_machine() {
    let stop = stop_of(|k| {
        let timer = k.system_allocate(0x40, "timer");
        k.call_export("KeInitializeTimerEx", &[timer, 0]);
        k.call_export("KeSetTimer", &[timer, (-1000i64) as u64, 0]);
        k.call_export("KeInitializeTimerEx", &[timer, 0]);
    });
    assert_eq!(stop.name, "TIMER_OR_DPC_INVALID", "{stop}");
}

#[test]
fn a_fast_mutex_taken_twice_by_one_thread_stops_the_machine() {
    let stop = stop_of(|k| {
        let mutex = k.system_allocate(0x38, "fast mutex");
        k.call_export("ExAcquireFastMutex", &[mutex]);
        k.call_export("ExAcquireFastMutex", &[mutex]);
    });
    assert_eq!(stop.rule, "Deadlock", "{stop}");
}

#[test]
fn rundown_protection_released_too_often_stops_the_machine() {
    let stop = stop_of(|k| {
        let rundown = k.system_allocate(8, "rundown");
        k.call_export("ExInitializeRundownProtection", &[rundown]);
        assert_eq!(k.call_export("ExAcquireRundownProtection", &[rundown]) & 0xFF, 1);
        k.call_export("ExReleaseRundownProtection", &[rundown]);
        k.call_export("ExReleaseRundownProtection", &[rundown]);
    });
    assert_eq!(stop.rule, "Rundown", "{stop}");
}

#[test]
fn a_reference_to_something_that_is_no_object_stops_the_machine() {
    let stop = stop_of(|k| {
        let memory = k.system_allocate(64, "no object");
        k.call_export("ObfDereferenceObject", &[memory]);
    });
    assert_eq!(stop.name, "REFERENCE_BY_POINTER", "{stop}");
}

#[test]
fn a_null_pointer_handed_to_the_kernel_stops_the_machine() {
    let stop = stop_of(|k| {
        k.call_export("KeSetEvent", &[0, 0, 0]);
    });
    assert_eq!(stop.rule, "InvalidAddress", "{stop}");
    assert_eq!(stop.stack[0].symbol, "ntoskrnl.exe!KeSetEvent");
}

#[test]
fn overlapping_memory_copied_with_memcpy_stops_the_machine() {
    let stop = stop_of(|k| {
        let memory = k.system_allocate(64, "memory");
        k.call_export("memcpy", &[memory + 8, memory, 16]);
    });
    assert_eq!(stop.rule, "Overlap", "{stop}");
}

#[test]
fn a_bug_check_of_the_driver_is_named() {
    let stop = stop_of(|k| {
        k.call_export("KeBugCheckEx", &[0x9F, 3, 4, 5, 6]);
    });
    assert_eq!((stop.code, stop.name), (0x9F, "DRIVER_POWER_STATE_FAILURE"));
    assert_eq!(stop.parameters.iter().map(|parameter| parameter.value).collect::<Vec<_>>(), [3, 4, 5, 6]);
}

#[test]
fn a_stop_prints_rule_code_processor_thread_seed_and_events() {
    let stop = stop_of(|k| {
        let lock = lock(k);
        k.call_export("KeAcquireSpinLockRaiseToDpc", &[lock]);
        k.call_export("KeBugCheckEx", &[0xE2, 0, 0, 0, 0]);
    });
    let text = stop.to_string();
    for part in [
        "STOP 0xe2 MANUALLY_INITIATED_CRASH",
        "cpu 0 at IRQL 2",
        "(host)",
        "seed 1",
        "locks held",
        "last events",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}
