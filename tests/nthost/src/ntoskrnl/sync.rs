//! Rundown protection, fast mutexes, push locks: locks that threads wait for.
//!
//! Each is kept in the driver's own memory, in the words wdm.h gives it; waiting goes by events of the kernel's.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use crate::cpu::irql::APC as APC_LEVEL;
use crate::export::{APC, Between, DISPATCH};
use crate::kernel::Kernel;
use crate::stop::{Fault, HeldLock, bugcheck};

/// Who holds a lock that threads wait for: the exclusive owner, or how many share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    Exclusive(u32),
    Shared(u32),
}

/// A lock that is held: by whom, and the code that took it last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    holder: Holder,
    taken_at: u64,
}

/// The held locks by address.
pub(crate) type Holders = BTreeMap<u64, Held>;

/// In an `EX_RUNDOWN_REF`: bit 0 says that it is being run down, the rest counts references (twice).
const RUNDOWN_ACTIVE: u64 = 1;

/// Lets others run until `done` holds. The IRQL must allow a wait.
fn wait_until(k: &Kernel, done: impl Fn() -> bool) {
    while !done() {
        // A short sleep: the processor is free for whoever has to make it come true.
        k.wait_for(&[], false, Some(-10));
    }
}

fn acquire(k: &Kernel, lock: u64, shared: bool) {
    let thread = k.current_thread_id();
    let own = |held: &Held| held.holder == Holder::Exclusive(thread);
    if k.services.holders.with(|holders| holders.get(&lock).is_some_and(own)) {
        k.stop(
            Fault::new("Deadlock", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                .text(format!("a thread takes a lock that it holds already: {}", k.describe_address(lock)))
                .parameter(lock, "the lock"),
        );
    }
    wait_until(k, || try_acquire(k, lock, shared));
}

fn try_acquire(k: &Kernel, lock: u64, shared: bool) -> bool {
    let (thread, taken_at) = (k.current_thread_id(), k.caller_address());
    k.services.holders.with(|holders| {
        let holder = match (holders.get(&lock).map(|held| held.holder), shared) {
            (None, true) => Holder::Shared(1),
            (Some(Holder::Shared(count)), true) => Holder::Shared(count + 1),
            (None, false) => Holder::Exclusive(thread),
            _ => return false,
        };
        holders.insert(lock, Held { holder, taken_at });
        true
    })
}

fn release(k: &Kernel, lock: u64, shared: bool) {
    let thread = k.current_thread_id();
    let released = k.services.holders.with(|holders| {
        let Some(held) = holders.get_mut(&lock) else { return false };
        match (held.holder, shared) {
            (Holder::Shared(count), true) if count > 1 => held.holder = Holder::Shared(count - 1),
            (Holder::Shared(_), true) => drop(holders.remove(&lock)),
            (Holder::Exclusive(owner), false) if owner == thread => drop(holders.remove(&lock)),
            _ => return false,
        }
        true
    });
    if !released {
        k.stop(
            Fault::new("LockOwner", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                .text(format!(
                    "a lock is released by a thread that does not hold it: {}",
                    k.describe_address(lock)
                ))
                .parameter(lock, "the lock"),
        );
    }
}

/// A `FAST_MUTEX`: Count, Owner at 8, Contention at 0x10, Event at 0x18, OldIrql at 0x30 (wdm.h).
const OWNER: u64 = 8;
const OLD_IRQL: u64 = 0x30;

fn take_mutex(k: &Kernel, mutex: u64) {
    acquire(k, mutex, false);
    k.write(mutex, 0i32);
    k.write(mutex + OWNER, k.current_thread().object);
}

fn give_mutex(k: &Kernel, mutex: u64) {
    k.write(mutex + OWNER, 0u64);
    k.write(mutex, 1i32);
    release(k, mutex, false);
}

/// Push locks are taken with normal kernel APCs off (Learn, ExAcquirePushLockExclusive).
fn check_critical(k: &Kernel) {
    if k.irql() < APC_LEVEL && k.current_thread().critical.load(Ordering::Relaxed) == 0 {
        k.stop(
            Fault::new("CriticalRegions", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                .text("a push lock is used outside a critical region"),
        );
    }
}

impl Kernel {
    /// The locks of this family that are held, for a report.
    pub(crate) fn held_waiting_locks(&self) -> Vec<HeldLock> {
        let holders = self.services.holders.try_with(|holders| holders.clone()).unwrap_or_default();
        let held = |(address, held): (u64, Held)| HeldLock {
            kind: "mutex or push lock",
            address,
            holder: match held.holder {
                Holder::Exclusive(thread) => format!("thread {thread}"),
                Holder::Shared(count) => format!("{count} threads that share it"),
            },
            taken_at: self.symbol(held.taken_at),
        };
        holders.into_iter().map(held).collect()
    }

    /// A lock of this family that is held in a range of addresses.
    pub(crate) fn holders_in(&self, start: u64, end: u64) -> Option<u64> {
        self.services.holders.with(|holders| holders.range(start..end).next().map(|(&lock, _)| lock))
    }
}

crate::export::exports! {
    module "ntoskrnl.exe";

    /// Makes a rundown reference.
    pure fn ExInitializeRundownProtection(k; reference: u64) [APC, "Learn, ExInitializeRundownProtection"] {
        k.write(reference, 0u64);
    }

    /// Takes a reference; FALSE once it is being run down.
    fn ExAcquireRundownProtection(k; reference: u64) -> u8 [DISPATCH, "Learn, ExAcquireRundownProtection"] {
        let value: u64 = k.read(reference);
        let alive = value & RUNDOWN_ACTIVE == 0;
        if alive {
            k.write(reference, value + 2);
        }
        u8::from(alive)
    }

    /// Gives a reference back.
    fn ExReleaseRundownProtection(k; reference: u64) [DISPATCH, "Learn, ExReleaseRundownProtection"] {
        let value: u64 = k.read(reference);
        if value < 2 {
            k.stop(Fault::new("Rundown", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                .text(format!("rundown protection is released more often than taken: {}", k.describe_address(reference))));
        }
        k.write(reference, value - 2);
    }

    /// Lets nobody in any more and waits for those inside.
    fn ExWaitForRundownProtectionRelease(k; reference: u64) [APC, "Learn, ExWaitForRundownProtectionRelease"] {
        k.write(reference, k.read::<u64>(reference) | RUNDOWN_ACTIVE);
        wait_until(k, || k.read::<u64>(reference) < 2);
    }

    /// Makes a reference that was run down usable again.
    fn ExReInitializeRundownProtection(k; reference: u64) [APC, "Learn, ExReInitializeRundownProtection"] {
        k.write(reference, 0u64);
    }

    /// Marks a reference as run down for good.
    fn ExRundownCompleted(k; reference: u64) [APC, "Learn, ExRundownCompleted"] {
        k.write(reference, RUNDOWN_ACTIVE);
    }

    /// Takes a fast mutex and raises to APC_LEVEL.
    fn ExAcquireFastMutex(k; mutex: u64) [APC, "Learn, ExAcquireFastMutex"] {
        let old = k.irql();
        take_mutex(k, mutex);
        k.raise_irql(APC_LEVEL);
        k.write(mutex + OLD_IRQL, u32::from(old));
    }

    /// Gives a fast mutex back.
    fn ExReleaseFastMutex(k; mutex: u64) [Between(1, 1), "Learn, ExReleaseFastMutex"] {
        let old: u8 = k.read(mutex + OLD_IRQL);
        give_mutex(k, mutex);
        k.lower_irql(old);
    }

    /// Takes a fast mutex if it is free.
    fn ExTryToAcquireFastMutex(k; mutex: u64) -> u8 [APC, "Learn, ExTryToAcquireFastMutex"] {
        let old = k.irql();
        let taken = try_acquire(k, mutex, false);
        if taken {
            k.write(mutex, 0i32);
            k.write(mutex + OWNER, k.current_thread().object);
            k.raise_irql(APC_LEVEL);
            k.write(mutex + OLD_IRQL, u32::from(old));
        }
        u8::from(taken)
    }

    /// Takes a fast mutex; APCs are off already.
    fn ExAcquireFastMutexUnsafe(k; mutex: u64) [APC, "Learn, ExAcquireFastMutexUnsafe"] {
        check_critical(k);
        take_mutex(k, mutex);
    }

    /// Gives back what ExAcquireFastMutexUnsafe took.
    fn ExReleaseFastMutexUnsafe(k; mutex: u64) [APC, "Learn, ExReleaseFastMutexUnsafe"] {
        give_mutex(k, mutex);
    }

    /// Makes a push lock.
    pure fn ExInitializePushLock(k; lock: u64) [APC, "Learn, ExInitializePushLock"] {
        k.write(lock, 0u64);
    }

    /// Takes a push lock alone.
    fn ExAcquirePushLockExclusiveEx(k; lock: u64, flags: u32) [APC, "Learn, ExAcquirePushLockExclusive"] {
        let _ = flags;
        check_critical(k);
        acquire(k, lock, false);
        k.write(lock, 1u64);
    }

    /// Takes a push lock with others.
    fn ExAcquirePushLockSharedEx(k; lock: u64, flags: u32) [APC, "Learn, ExAcquirePushLockShared"] {
        let _ = flags;
        check_critical(k);
        acquire(k, lock, true);
        k.write(lock, 1u64);
    }

    /// Gives a push lock back that was taken alone.
    fn ExReleasePushLockExclusiveEx(k; lock: u64, flags: u32) [APC, "Learn, ExReleasePushLockExclusive"] {
        let _ = flags;
        release(k, lock, false);
        k.write(lock, 0u64);
    }

    /// Gives a push lock back that was taken with others.
    fn ExReleasePushLockSharedEx(k; lock: u64, flags: u32) [APC, "Learn, ExReleasePushLockShared"] {
        let _ = flags;
        release(k, lock, true);
        let held = k.services.holders.with(|holders| holders.contains_key(&lock));
        k.write(lock, u64::from(held));
    }
}
