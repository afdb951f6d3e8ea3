//! What the drivers of `tests/defects` do not show: what is allowed, and what a stop tells.

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
fn a_null_pointer_handed_to_the_kernel_stops_the_machine() {
    let stop = stop_of(|k| {
        k.call_export("KeSetEvent", &[0, 0, 0]);
    });
    assert_eq!(stop.rule, "InvalidAddress", "{stop}");
    assert_eq!(stop.stack[0].symbol, "ntoskrnl.exe!KeSetEvent");
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
