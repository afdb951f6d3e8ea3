//! Virtual processors, threads, DPCs, timers: one seed, one history.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use nthost::replay::seeds;
use nthost::{Kernel, Machine};

fn machine(seed: u64) -> Machine {
    Machine::builder().cpus(2).seed(seed).memory(16 << 20).host_code(true).build().expect("a machine")
}

const PASSIVE: u8 = 0;
const DISPATCH: u8 = 2;

/// Bytes of a KEVENT, KDPC and KTIMER are within this.
const OBJECT: u64 = 0x40;

fn event(k: &Kernel) -> u64 {
    let event = k.system_allocate(OBJECT, "event");
    k.call_export("KeInitializeEvent", &[event, 1, 0]);
    event
}

#[test]
fn a_host_operation_runs_at_passive_level_and_returns_its_value() {
    let mut machine = machine(1);
    let irql = machine.run(|k| k.irql()).expect("no stop");
    assert_eq!(irql, PASSIVE);
}

#[test]
fn a_thread_that_waits_runs_on_when_another_sets_the_event() {
    let mut machine = machine(2);
    let order = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&order);
    machine
        .run(move |k| {
            let ready = event(k);
            let inner = Rc::clone(&log);
            let waiter = k.spawn(
                "waiter",
                0,
                Box::new(move |k| {
                    assert_eq!(k.call_export("KeWaitForSingleObject", &[ready, 0, 0, 0, 0]), 0);
                    inner.borrow_mut().push("woken");
                }),
            );
            log.borrow_mut().push("set");
            k.call_export("KeSetEvent", &[ready, 0, 0]);
            k.join(waiter);
        })
        .expect("no stop");
    assert_eq!(*order.borrow(), ["set", "woken"]);
}

#[test]
fn a_wait_with_a_timeout_ends_when_virtual_time_has_passed() {
    let mut machine = machine(3);
    let (status, waited) = machine
        .run(|k| {
            let never = event(k);
            let timeout = k.system_allocate(8, "timeout");
            k.write(timeout, -10_000i64); // 1 ms
            let before = k.now();
            (k.call_export("KeWaitForSingleObject", &[never, 0, 0, 0, timeout]), k.now() - before)
        })
        .expect("no stop");
    assert_eq!(status, 0x102);
    assert!((1_000_000..1_100_000).contains(&waited), "{waited} ns");
}

#[test]
fn a_targeted_dpc_runs_on_its_processor_at_dispatch_level() {
    thread_local! {
        static RAN: Cell<Option<(u32, u8, u64, u64)>> = const { Cell::new(None) };
    }
    extern "win64" fn routine(_dpc: u64, context: u64, first: u64, _second: u64) {
        RAN.set(Kernel::with_current(|k| (k.cpu_number(), k.irql(), context, first)));
    }
    for seed in seeds(0..=19) {
        for target in 0..2 {
            let mut machine = machine(seed);
            machine
                .run(|k| {
                    let dpc = k.system_allocate(OBJECT, "dpc");
                    k.call_export("KeInitializeDpc", &[dpc, routine as *const () as u64, 77]);
                    k.call_export("KeSetTargetProcessorDpc", &[dpc, target]);
                    assert_eq!(k.call_export("KeInsertQueueDpc", &[dpc, 5, 0]), 1);
                    k.call_export("KeFlushQueuedDpcs", &[]);
                })
                .unwrap_or_else(|stop| panic!("{stop}"));
            assert_eq!(RAN.take(), Some((target as u32, DISPATCH, 77, 5)), "seed {seed}");
        }
    }
}

#[test]
fn a_dpc_queued_at_dispatch_level_runs_when_the_level_drops() {
    thread_local! {
        static RUNS: Cell<u32> = const { Cell::new(0) };
    }
    extern "win64" fn routine(_dpc: u64, _context: u64, _first: u64, _second: u64) {
        RUNS.set(RUNS.get() + 1);
    }
    let mut machine = Machine::builder().cpus(1).memory(16 << 20).host_code(true).build().expect("a machine");
    machine
        .run(|k| {
            let dpc = k.system_allocate(OBJECT, "dpc");
            k.call_export("KeInitializeDpc", &[dpc, routine as *const () as u64, 0]);
            let old = k.call_export("KfRaiseIrql", &[2]);
            k.call_export("KeInsertQueueDpc", &[dpc, 0, 0]);
            assert_eq!(k.call_export("KeInsertQueueDpc", &[dpc, 0, 0]) & 0xFF, 0, "queued already");
            assert_eq!(RUNS.get(), 0);
            k.call_export("KeLowerIrql", &[old]);
            assert_eq!(RUNS.get(), 1);
        })
        .unwrap_or_else(|stop| panic!("{stop}"));
}

#[test]
fn a_periodic_timer_queues_its_dpc_until_it_is_cancelled() {
    thread_local! {
        static TICKS: Cell<u32> = const { Cell::new(0) };
    }
    extern "win64" fn tick(_dpc: u64, _context: u64, _first: u64, _second: u64) {
        TICKS.set(TICKS.get() + 1);
    }
    let mut machine = machine(4);
    let timer = machine
        .run(|k| {
            let (timer, dpc) = (k.system_allocate(OBJECT, "timer"), k.system_allocate(OBJECT, "dpc"));
            k.call_export("KeInitializeTimerEx", &[timer, 1]);
            k.call_export("KeInitializeDpc", &[dpc, tick as *const () as u64, 0]);
            k.call_export("KeSetTimerEx", &[timer, (-100_000i64) as u64, 10, dpc]);
            timer
        })
        .expect("no stop");
    machine.advance(35_000_000).expect("no stop");
    assert_eq!(TICKS.get(), 3);
    assert_eq!(machine.run(|k| k.call_export("KeCancelTimer", &[timer]) & 0xFF).expect("no stop"), 1);
    machine.advance(100_000_000).expect("no stop");
    assert_eq!(TICKS.get(), 3);
}

/// Two threads that take turns at a spin lock, with a DPC and a timer in between: enough to interleave.
fn history(seed: u64) -> (u64, u64, Vec<u32>) {
    let mut machine = machine(seed);
    let order = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&order);
    machine
        .run(move |k| {
            let lock = k.system_allocate(8, "lock");
            k.call_export("KeInitializeSpinLock", &[lock]);
            let threads: Vec<_> = (0..3)
                .map(|number| {
                    let log = Rc::clone(&log);
                    k.spawn(
                        "worker",
                        0,
                        Box::new(move |k| {
                            for _ in 0..10 {
                                let old = k.call_export("KeAcquireSpinLockRaiseToDpc", &[lock]);
                                log.borrow_mut().push(number);
                                k.call_export("KeStallExecutionProcessor", &[1]);
                                k.call_export("KeReleaseSpinLock", &[lock, old]);
                            }
                        }),
                    )
                })
                .collect();
            threads.into_iter().for_each(|thread| k.join(thread));
        })
        .unwrap_or_else(|stop| panic!("{stop}"));
    let order = order.borrow().clone();
    (machine.trace_hash(), machine.trace_length(), order)
}

#[test]
fn the_same_seed_gives_the_same_history_for_100_seeds() {
    for seed in seeds(0..=99) {
        assert_eq!(history(seed), history(seed), "seed {seed}");
    }
}

#[test]
fn different_seeds_give_different_interleavings() {
    let orders: std::collections::BTreeSet<_> = (0..20).map(|seed| history(seed).2).collect();
    assert!(orders.len() > 15, "{} different orders of 20", orders.len());
}

#[test]
fn a_deadlock_is_a_stop_that_names_the_threads() {
    let mut machine = machine(5);
    let stop = machine
        .run(|k| {
            let never = event(k);
            k.call_export("KeWaitForSingleObject", &[never, 0, 0, 0, 0]);
        })
        .expect_err("nothing sets the event");
    assert_eq!(stop.name, "MACHINE_HUNG");
    assert!(
        stop.threads.iter().any(|thread| thread.name == "host" && thread.state.contains("waits for")),
        "{stop}"
    );
    assert!(machine.run(|_| ()).is_err(), "a stopped machine stays stopped");
}

#[test]
fn an_endless_loop_of_kernel_calls_ends_at_the_limit() {
    let mut machine =
        Machine::builder().memory(16 << 20).limits(u64::MAX, 10_000).build().expect("a machine");
    let stop = machine
        .run(|k| {
            loop {
                k.call_export("KeGetCurrentProcessorNumberEx", &[0]);
            }
        })
        .map(|(): ()| ())
        .expect_err("it never ends");
    assert_eq!(stop.name, "MACHINE_HUNG");
}

#[test]
#[should_panic(expected = "the host's own mistake")]
fn a_panic_in_a_host_operation_reaches_the_host() {
    let _ = machine(6).run(|_| panic!("the host's own mistake"));
}
