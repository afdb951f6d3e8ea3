//! Spin locks, with an owner that is checked.

use std::collections::{BTreeMap, BTreeSet};

use crate::cpu::irql::{DISPATCH as DISPATCH_LEVEL, HIGH};
use crate::export::{Between, DISPATCH};
use crate::kernel::Kernel;
use crate::stop::{Fault, HeldLock, bugcheck};

/// The spin locks that are held, by address.
pub(crate) type Locks = BTreeMap<u64, Owner>;

/// Who holds a spin lock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner {
    cpu: u32,
    taken_at: u64,
}

/// For each lock those that were taken while it was held.
pub(crate) type Order = BTreeMap<u64, BTreeSet<u64>>;

/// Whether `to` was ever taken with `from` held, directly or through others.
fn leads_to(order: &Order, from: u64, to: u64) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(lock) = open.pop() {
        if lock == to {
            return true;
        }
        if seen.insert(lock) {
            open.extend(order.get(&lock).into_iter().flatten());
        }
    }
    false
}

impl Kernel {
    /// Raises to DISPATCH_LEVEL and takes the spin lock at `lock`; returns the old IRQL.
    pub fn acquire_spin_lock(&self, lock: u64) -> u8 {
        self.acquire_spin_lock_at(lock, DISPATCH_LEVEL)
    }

    /// Raises to `irql` (an interrupt's, for its lock) and takes the spin lock; returns the old IRQL.
    pub fn acquire_spin_lock_at(&self, lock: u64, irql: u8) -> u8 {
        let old = self.raise_irql(irql);
        self.take_spin_lock(lock);
        old
    }

    /// Gives the spin lock back and lowers to `old`.
    pub fn release_spin_lock(&self, lock: u64, old: u8) {
        self.drop_spin_lock(lock);
        self.lower_irql(old);
    }

    /// Takes the spin lock at `lock`; the IRQL is the caller's business.
    pub(crate) fn take_spin_lock(&self, lock: u64) {
        let cpu = self.cpu_number();
        self.note_order(lock);
        while !self.try_spin_lock(lock) {
            if self.services.locks.with(|locks| locks.get(&lock).is_some_and(|owner| owner.cpu == cpu)) {
                self.stop(
                    Fault::new("Deadlock", bugcheck::SPIN_LOCK_ALREADY_OWNED)
                        .text(format!(
                            "cpu {cpu} takes a spin lock that it holds already: {}",
                            self.describe_address(lock)
                        ))
                        .parameter(lock, "the spin lock"),
                );
            }
            self.pass_time(50);
            self.give_way();
        }
    }

    /// Remembers that `lock` was taken with others held. Two locks that are taken in both orders stop the machine, even
    /// when no two processors did it at the same time (Driver Verifier, "Deadlock Detection").
    fn note_order(&self, lock: u64) {
        let cpu = self.cpu_number();
        let held: Vec<u64> = self.services.locks.with(|locks| {
            locks
                .iter()
                .filter(|&(&other, owner)| owner.cpu == cpu && other != lock)
                .map(|(&other, _)| other)
                .collect()
        });
        if held.is_empty() {
            return;
        }
        let backwards = self.services.order.with(|order| {
            for &first in &held {
                order.entry(first).or_default().insert(lock);
            }
            held.into_iter().find(|&first| leads_to(order, lock, first))
        });
        if let Some(first) = backwards {
            self.stop(
                Fault::new("Deadlock", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                    .text(format!(
                        "{} is taken while {} is held; earlier they were taken the other way round",
                        self.describe_address(lock),
                        self.describe_address(first)
                    ))
                    .parameter(0x1001, "a deadlock was detected")
                    .parameter(lock, "the lock being taken")
                    .parameter(first, "the lock held"),
            );
        }
    }

    /// Locks in memory that goes away are in no order any more.
    pub(crate) fn forget_order(&self, start: u64, end: u64) {
        self.services.order.with(|order| order.retain(|lock, _| !(start..end).contains(lock)));
    }

    /// Takes the spin lock if it is free.
    pub(crate) fn try_spin_lock(&self, lock: u64) -> bool {
        // A held lock reads as 1 in the driver's memory too; anything else is a lock that was overwritten.
        let value: u64 = self.read(lock);
        let owner = Owner { cpu: self.cpu_number(), taken_at: self.caller_address() };
        let free = self.services.locks.with(|locks| {
            let free = !locks.contains_key(&lock);
            if free {
                locks.insert(lock, owner);
            }
            free
        });
        if value != u64::from(!free) {
            self.stop(
                Fault::new("SpinLockValue", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                    .text(format!(
                        "the spin lock at {} holds {value:#x}: not initialised, or overwritten",
                        self.describe_address(lock)
                    ))
                    .parameter(lock, "the spin lock"),
            );
        }
        if free {
            self.write(lock, 1u64);
        }
        free
    }

    /// Gives the spin lock back; only its owner may.
    pub(crate) fn drop_spin_lock(&self, lock: u64) {
        let cpu = self.cpu_number();
        let owned = self.services.locks.with(|locks| {
            let owned = locks.get(&lock).is_some_and(|owner| owner.cpu == cpu);
            if owned {
                locks.remove(&lock);
            }
            owned
        });
        if !owned {
            self.stop(
                Fault::new("SpinLockRelease", bugcheck::SPIN_LOCK_NOT_OWNED)
                    .text(format!(
                        "cpu {cpu} releases a spin lock that it does not hold: {}",
                        self.describe_address(lock)
                    ))
                    .parameter(lock, "the spin lock"),
            );
        }
        self.write(lock, 0u64);
    }

    /// How many spin locks this processor holds.
    #[must_use]
    pub fn locks_held(&self) -> usize {
        let cpu = self.cpu_number();
        self.services.locks.with(|locks| locks.values().filter(|owner| owner.cpu == cpu).count())
    }

    /// All spin locks that are held, for a report.
    pub(crate) fn held_spin_locks(&self) -> Vec<HeldLock> {
        let locks = self.services.locks.try_with(|locks| locks.clone()).unwrap_or_default();
        let held = |(address, owner): (u64, Owner)| HeldLock {
            kind: "spin lock",
            address,
            holder: format!("cpu {}", owner.cpu),
            taken_at: self.symbol(owner.taken_at),
        };
        locks.into_iter().map(held).collect()
    }

    /// A held spin lock in a range of addresses.
    pub(crate) fn locks_in(&self, start: u64, end: u64) -> Option<u64> {
        self.services.locks.with(|locks| locks.range(start..end).next().map(|(&lock, _)| lock))
    }

    /// The IRQL is about to drop below DISPATCH_LEVEL: no spin lock may be held then.
    pub(crate) fn check_lowering(&self, new: u8) {
        if self.locks_held() != 0 {
            self.stop(
                Fault::new("SpinLockIrql", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                    .text(format!("the IRQL is lowered to {new} with a spin lock held")),
            );
        }
    }
}

crate::export::exports! {
    module "ntoskrnl.exe";

    /// Makes a spin lock free.
    pure fn KeInitializeSpinLock(k; lock: u64) [crate::export::ANY, "Learn, KeInitializeSpinLock: any level"] {
        k.write(lock, 0u64);
    }

    /// Raises to DISPATCH_LEVEL and takes the lock; returns the old IRQL.
    fn KeAcquireSpinLockRaiseToDpc(k; lock: u64) -> u8 [DISPATCH, "Learn, KeAcquireSpinLockRaiseToDpc: <= DISPATCH_LEVEL"] {
        k.acquire_spin_lock(lock)
    }

    /// Takes the lock at DISPATCH_LEVEL or above.
    fn KeAcquireSpinLockAtDpcLevel(k; lock: u64) [Between(2, HIGH), "Learn, KeAcquireSpinLockAtDpcLevel: >= DISPATCH_LEVEL"] {
        k.take_spin_lock(lock);
    }

    /// Gives the lock back and lowers to the old IRQL.
    fn KeReleaseSpinLock(k; lock: u64, old: u8) [Between(2, 2), "Learn, KeReleaseSpinLock: DISPATCH_LEVEL"] {
        k.release_spin_lock(lock, old);
    }

    /// Gives the lock back; the IRQL stays.
    fn KeReleaseSpinLockFromDpcLevel(k; lock: u64) [Between(2, HIGH), "Learn, KeReleaseSpinLockFromDpcLevel: >= DISPATCH_LEVEL"] {
        k.drop_spin_lock(lock);
    }

    /// Takes the lock at DISPATCH_LEVEL or above if it is free.
    fn KeTryToAcquireSpinLockAtDpcLevel(k; lock: u64) -> u8 [Between(2, HIGH), "Learn, KeTryToAcquireSpinLockAtDpcLevel: >= DISPATCH_LEVEL"] {
        u8::from(k.try_spin_lock(lock))
    }
}
