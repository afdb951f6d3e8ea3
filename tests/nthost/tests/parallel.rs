//! Free-running mode: driver code runs on several processors at the same time, and the kernel's state holds.

mod support;

use std::path::Path;

use nthost::{Kernel, Machine};
use support::{Code, Folder, Image};

fn machine() -> Machine {
    Machine::builder().cpus(2).memory(16 << 20).free_running(true).build().expect("a machine")
}

/// Two threads run one routine with the same argument, `times` times each, and add up what it returns.
fn run_twice(code: Code, times: u32) -> (u32, Vec<u64>) {
    let folder = Folder::default().with("test.sys", &Image::code(code));
    let mut machine = machine();
    machine
        .run(|k| {
            let id = k.load_image(Path::new("test.sys"), &folder).expect("it loads");
            let entry = k.image(id).entry_point;
            let (counter, results) = (k.system_allocate(8, "counter"), k.system_allocate(16, "results"));
            let body = move |k: &Kernel, slot: u64| {
                let sum: u64 = (0..times).map(|_| k.call("routine", entry, &[counter])).sum();
                k.write(results + 8 * slot, sum);
            };
            let threads = [0, 1]
                .map(|slot| k.spawn(format!("{slot}"), 1 << slot, Box::new(move |k: &Kernel| body(k, slot))));
            threads.into_iter().for_each(|thread| k.join(thread));
            (k.read(counter), vec![k.read(results), k.read(results + 8)])
        })
        .unwrap_or_else(|stop| panic!("{stop}"))
}

#[test]
fn driver_code_of_two_processors_runs_at_the_same_time() {
    // Each adds one and spins, without a call, until both have: lock inc [rcx]; mov edx, 2^27; xor eax, eax;
    // loop: cmp [rcx], 2; jae met; pause; dec edx; jnz loop; ret; met: inc eax; ret
    let meet = Code::default().raw(&[
        0xF0, 0xFF, 0x01, 0xBA, 0, 0, 0, 0x08, 0x31, 0xC0, 0x83, 0x39, 0x02, 0x73, 0x07, 0xF3, 0x90, 0xFF,
        0xCA, 0x75, 0xF5, 0xC3, 0xFF, 0xC0, 0xC3,
    ]);
    let (counter, met) = run_twice(meet, 1);
    assert_eq!((counter, met), (2, vec![1, 1]), "each saw the other while it ran itself");
}

#[test]
fn an_operation_ends_when_every_thread_waits() {
    let stop = machine().run(|k| {
        let event = k.system_allocate(0x18, "event");
        k.call_export("KeInitializeEvent", &[event, 0, 0]);
        k.call_export("KeWaitForSingleObject", &[event, 0, 0, 0, 0]);
    });
    let stop = stop.expect_err("nothing sets the event");
    assert_eq!(stop.name, "MACHINE_HUNG", "{stop}");
}

#[test]
fn a_stop_on_one_processor_ends_the_other_one_too() {
    for _ in 0..20 {
        let stop = machine().run(|k| {
            let body = |k: &Kernel| loop {
                k.switch_point();
            };
            k.spawn("busy", 0, Box::new(body));
            (0..50).for_each(|_| k.switch_point());
            k.call_export("KeBugCheckEx", &[0xE2, 1, 2, 3, 4]);
        });
        assert_eq!(stop.expect_err("asked for").name, "MANUALLY_INITIATED_CRASH");
    }
}

#[test]
fn spin_locks_of_the_kernel_exclude_processors_that_run_at_the_same_time() {
    let mut machine = machine();
    let counted: u32 = machine
        .run(|k| {
            let (counter, lock) = (k.system_allocate(8, "counter"), k.system_allocate(8, "lock"));
            let add = move |k: &Kernel| {
                for _ in 0..200 {
                    let old = k.acquire_spin_lock(lock);
                    let value: u32 = k.read(counter);
                    k.call_export("KeQueryPerformanceCounter", &[0]);
                    k.write(counter, value + 1);
                    k.release_spin_lock(lock, old);
                }
            };
            let threads = [k.spawn("first", 1, Box::new(add)), k.spawn("second", 2, Box::new(add))];
            threads.into_iter().for_each(|thread| k.join(thread));
            k.read(counter)
        })
        .unwrap_or_else(|stop| panic!("{stop}"));
    assert_eq!(counted, 400);
}
