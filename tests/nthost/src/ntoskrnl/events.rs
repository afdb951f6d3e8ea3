//! Events, semaphores, mutexes, and waiting.

use super::status::{INVALID_PARAMETER, SUCCESS};
use crate::cpu::thread::ThreadId;
use crate::cpu::wait::{MUTANT, NOTIFICATION_EVENT, SEMAPHORE, SYNCHRONIZATION_EVENT};
use crate::export::{ANY, APC, DISPATCH, PASSIVE};
use crate::kernel::Kernel;
use crate::stop::{Fault, bugcheck};

/// Offset of a `KSEMAPHORE`'s limit and of a `KMUTANT`'s owner, behind the dispatcher header (wdm.h).
const SEMAPHORE_LIMIT: u64 = 0x18;
const MUTANT_OWNER: u64 = 0x28;

fn initialize(k: &Kernel, object: u64, kind: u8, size: u64, state: i32) {
    k.write_bytes(object, &vec![0; size as usize]);
    k.write(object, kind);
    k.write(object + 2, (size / 4) as u8);
    k.write(object + 4, state);
}

/// A wait as drivers ask for it: `timeout` points at 100 ns units, null for ever.
fn wait(k: &Kernel, objects: &[u64], all: bool, timeout: u64) -> i32 {
    let timeout = (timeout != 0).then(|| k.read::<i64>(timeout));
    for &object in objects {
        check_object(k, object);
    }
    k.wait_for(objects, all, timeout)
}

/// Waiting for something that is no dispatcher object never ends on Windows; here it stops the machine.
fn check_object(k: &Kernel, object: u64) {
    let kind = k.read::<u8>(object) & 0x7F;
    if !matches!(kind, 0..=2 | 5 | 6 | 8 | 9) {
        k.stop(
            Fault::new("WaitObject", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                .text(format!(
                    "a wait for something that is no dispatcher object (type {kind}): {}",
                    k.describe_address(object)
                ))
                .parameter(object, "the object"),
        );
    }
}

crate::export::exports! {
    module "ntoskrnl.exe";

    /// Makes an event: type 0 notification, 1 synchronization.
    pure fn KeInitializeEvent(k; event: u64, kind: i32, state: u8) [ANY, "Learn, KeInitializeEvent"] {
        let kind = if kind == 0 { NOTIFICATION_EVENT } else { SYNCHRONIZATION_EVENT };
        initialize(k, event, kind, 0x18, i32::from(state != 0));
    }

    /// Signals an event; returns its old state.
    fn KeSetEvent(k; event: u64, increment: i32, wait: u8) -> i32 [DISPATCH, "Learn, KeSetEvent"] {
        let _ = increment;
        if wait != 0 && k.irql() > 1 {
            k.stop(Fault::new("IrqlKeSetEvent", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                .text("KeSetEvent with Wait TRUE is allowed at APC_LEVEL at most"));
        }
        k.set_signal(event, 1)
    }

    /// Makes an event not signaled; returns its old state.
    fn KeResetEvent(k; event: u64) -> i32 [DISPATCH, "Learn, KeResetEvent"] {
        k.set_signal(event, 0)
    }

    /// Makes an event not signaled.
    fn KeClearEvent(k; event: u64) [DISPATCH, "Learn, KeClearEvent"] {
        k.set_signal(event, 0);
    }

    /// The state of an event.
    fn KeReadStateEvent(k; event: u64) -> i32 [DISPATCH, "Learn, KeReadStateEvent"] {
        k.signal_state(event)
    }

    /// Makes a semaphore.
    pure fn KeInitializeSemaphore(k; semaphore: u64, count: i32, limit: i32) [PASSIVE, "Learn, KeInitializeSemaphore"] {
        initialize(k, semaphore, SEMAPHORE, 0x20, count);
        k.write(semaphore + SEMAPHORE_LIMIT, limit);
    }

    /// Adds to a semaphore; returns its old count.
    fn KeReleaseSemaphore(k; semaphore: u64, increment: i32, adjustment: i32, wait: u8) -> i32 [DISPATCH, "Learn, KeReleaseSemaphore"] {
        let _ = (increment, wait);
        let old = k.signal_state(semaphore);
        if old.checked_add(adjustment).is_none_or(|new| new > k.read::<i32>(semaphore + SEMAPHORE_LIMIT)) {
            k.stop(Fault::new("SemaphoreLimit", bugcheck::KMODE_EXCEPTION_NOT_HANDLED)
                .text("a semaphore is released beyond its limit (STATUS_SEMAPHORE_LIMIT_EXCEEDED)")
                .parameter(0xC000_0047, "exception code"));
        }
        k.set_signal(semaphore, old + adjustment)
    }

    /// Makes a mutex.
    pure fn KeInitializeMutex(k; mutex: u64, level: u32) [ANY, "Learn, KeInitializeMutex"] {
        let _ = level;
        initialize(k, mutex, MUTANT, 0x38, 1);
    }

    /// Gives a mutex back; returns zero when it is free afterwards.
    fn KeReleaseMutex(k; mutex: u64, wait: u8) -> i32 [DISPATCH, "Learn, KeReleaseMutex"] {
        let _ = wait;
        if k.read::<u64>(mutex + MUTANT_OWNER) != k.current_thread().object {
            k.stop(Fault::new("MutexOwner", bugcheck::KMODE_EXCEPTION_NOT_HANDLED)
                .text("a mutex is released by a thread that does not hold it (STATUS_MUTANT_NOT_OWNED)")
                .parameter(0xC000_0046, "exception code"));
        }
        let old = k.signal_state(mutex);
        if old == 0 {
            k.write(mutex + MUTANT_OWNER, 0u64);
        }
        k.set_signal(mutex, old + 1)
    }

    /// Waits for one object. At DISPATCH_LEVEL only with a zero timeout.
    fn KeWaitForSingleObject(k; object: u64, reason: i32, mode: i8, alertable: u8, timeout: u64) -> i32 [DISPATCH, "Learn, KeWaitForSingleObject"] {
        let _ = (reason, mode, alertable);
        wait(k, &[object], false, timeout)
    }

    /// Waits for several objects: type 0 all of them, 1 any of them.
    fn KeWaitForMultipleObjects(k; count: u32, objects: u64, kind: i32, reason: i32, mode: i8, alertable: u8, timeout: u64, blocks: u64) -> i32 [DISPATCH, "Learn, KeWaitForMultipleObjects"] {
        /// THREAD_WAIT_OBJECTS and MAXIMUM_WAIT_OBJECTS of wdm.h.
        const OWN_BLOCKS: u32 = 3;
        const MOST: u32 = 64;
        let _ = (reason, mode, alertable);
        if count == 0 || count > MOST || (count > OWN_BLOCKS && blocks == 0) {
            k.stop(Fault::new("WaitObjects", BUG_CHECK_WAITS)
                .text(format!("a wait for {count} objects; more than {OWN_BLOCKS} need wait blocks, {MOST} is the limit")));
        }
        let objects: Vec<u64> = (0..u64::from(count)).map(|index| k.read(objects + index * 8)).collect();
        wait(k, &objects, kind == 0, timeout)
    }

    /// Lets the thread sleep.
    fn KeDelayExecutionThread(k; mode: i8, alertable: u8, interval: u64) -> i32 [APC, "Learn, KeDelayExecutionThread"] {
        let _ = (mode, alertable);
        k.wait_for(&[], false, Some(k.read(interval)));
        SUCCESS
    }

    /// Changes a thread's priority. All threads are equal here: any order of ready threads may happen.
    pure fn KeSetPriorityThread(k; thread: u64, priority: i32) -> i32 [DISPATCH, "Learn, KeSetPriorityThread"] {
        let _ = priority;
        if k.thread_of_object(thread).is_none() {
            return INVALID_PARAMETER;
        }
        /// LOW_REALTIME_PRIORITY / 2: what system threads run at.
        const NORMAL: i32 = 8;
        NORMAL
    }

    /// The thread that runs.
    pure fn KeGetCurrentThread(k;) -> u64 [ANY, "Learn, KeGetCurrentThread"] {
        k.thread(ThreadId(k.current_thread_id())).object
    }
}

const BUG_CHECK_WAITS: crate::stop::BugCheck = crate::stop::BugCheck {
    code: 0x0C,
    name: "MAXIMUM_WAIT_OBJECTS_EXCEEDED",
    meaning: "a thread waits for more objects than a wait can take",
};
