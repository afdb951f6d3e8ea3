//! A spin lock that owns its data.
//!
//! At up to DISPATCH_LEVEL, which the lock raises to ("KeAcquireSpinLockRaiseToDpc").

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use wdk_sys::ntddk::{
    KeAcquireSpinLockAtDpcLevel, KeAcquireSpinLockRaiseToDpc, KeReleaseSpinLock,
    KeReleaseSpinLockFromDpcLevel,
};
use wdk_sys::{KIRQL, KSPIN_LOCK};

use crate::irql::{AtMostDispatch, Dispatch};

/// Data that is touched only with a KSPIN_LOCK held, at DISPATCH_LEVEL.
///
/// The lock is const-initialised (a free KSPIN_LOCK is zero: KeInitializeSpinLock of wdm.h) and may stand in a static.
/// It is not recursive: a second acquisition by its holder spins for ever, which Driver Verifier reports.
pub struct SpinLock<T: ?Sized> {
    lock: UnsafeCell<KSPIN_LOCK>,
    value: UnsafeCell<T>,
}

// SAFETY: the value moves with the lock, and nothing of it is tied to a thread when it may be sent.
unsafe impl<T: ?Sized + Send> Send for SpinLock<T> {}
// SAFETY: the value is reached only through a guard, and there is one guard at a time: a spin lock turns shared access
// into exclusive access, which needs no more than `Send` of the value.
unsafe impl<T: ?Sized + Send> Sync for SpinLock<T> {}

impl<T> SpinLock<T> {
    /// A free lock around `value`.
    pub const fn new(value: T) -> Self {
        Self { lock: UnsafeCell::new(0), value: UnsafeCell::new(value) }
    }
}

impl<T: ?Sized> SpinLock<T> {
    /// Raises to DISPATCH_LEVEL and takes the lock; both end with the guard.
    pub fn lock<'a, I: AtMostDispatch>(&'a self, irql: &'a mut I) -> Guard<'a, T> {
        let _borrowed = irql;
        // SAFETY: the lock was initialised by `new` and does not move while it is borrowed; the token says that the level
        // is DISPATCH_LEVEL or below, as KeAcquireSpinLock demands.
        let previous = unsafe { KeAcquireSpinLockRaiseToDpc(self.lock.get()) };
        Guard { lock: self, previous, level: Level(PhantomData) }
    }

    /// Takes the lock at DISPATCH_LEVEL, without the cost of raising.
    pub fn lock_at_dispatch<'a>(&'a self, irql: &'a Dispatch) -> GuardAtDispatch<'a, T> {
        // SAFETY: the lock was initialised by `new` and does not move while it is borrowed; the token says that the level
        // is DISPATCH_LEVEL, as this function demands.
        unsafe { KeAcquireSpinLockAtDpcLevel(self.lock.get()) };
        GuardAtDispatch { lock: self, irql }
    }

    /// The data, without locking: whoever holds the lock exclusively is alone with it.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: ?Sized> fmt::Debug for SpinLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpinLock")
    }
}

/// Keeps a guard on the thread (and so on the processor) that made it.
struct Level(PhantomData<*mut ()>);

/// The lock is held and the level is DISPATCH_LEVEL until this is dropped.
#[must_use = "the lock is released when this is dropped"]
pub struct Guard<'a, T: ?Sized> {
    lock: &'a SpinLock<T>,
    previous: KIRQL,
    level: Level,
}

impl<T: ?Sized> Guard<'_, T> {
    /// The data together with the level at which it is held.
    pub fn parts(&mut self) -> (&mut T, &Dispatch) {
        // SAFETY: holding the lock makes this guard the only way to the value; the borrow of the guard keeps it so.
        let value = unsafe { &mut *self.lock.value.get() };
        (value, dispatch_of(&self.level))
    }

    /// The level under the lock.
    pub fn irql(&self) -> &Dispatch {
        dispatch_of(&self.level)
    }
}

/// The token of a guard's level.
fn dispatch_of(_level: &Level) -> &Dispatch {
    const TOKEN: &Dispatch = {
        // SAFETY: the token is handed out only as long as a guard is borrowed, and a guard means DISPATCH_LEVEL.
        &unsafe { Dispatch::assume() }
    };
    TOKEN
}

impl<T: ?Sized> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: holding the lock makes this guard the only way to the value; a shared borrow of it gives no `&mut`.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.parts().0
    }
}

impl<T: ?Sized> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: this guard holds the lock, `previous` is the level that taking it replaced, and the token it borrowed
        // kept every guard taken since inside its scope.
        unsafe { KeReleaseSpinLock(self.lock.lock.get(), self.previous) }
    }
}

/// The lock is held until this is dropped; the level was DISPATCH_LEVEL before and stays.
#[must_use = "the lock is released when this is dropped"]
pub struct GuardAtDispatch<'a, T: ?Sized> {
    lock: &'a SpinLock<T>,
    irql: &'a Dispatch,
}

impl<'a, T: ?Sized> GuardAtDispatch<'a, T> {
    /// The data together with the level at which it is held.
    pub fn parts(&mut self) -> (&mut T, &'a Dispatch) {
        // SAFETY: holding the lock makes this guard the only way to the value; the borrow of the guard keeps it so.
        let value = unsafe { &mut *self.lock.value.get() };
        (value, self.irql)
    }

    /// The level under the lock.
    pub fn irql(&self) -> &'a Dispatch {
        self.irql
    }
}

impl<T: ?Sized> Deref for GuardAtDispatch<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: holding the lock makes this guard the only way to the value; a shared borrow of it gives no `&mut`.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for GuardAtDispatch<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.parts().0
    }
}

impl<T: ?Sized> Drop for GuardAtDispatch<'_, T> {
    fn drop(&mut self) {
        // SAFETY: this guard holds the lock, taken at DISPATCH_LEVEL, which the borrowed token still vouches for.
        unsafe { KeReleaseSpinLockFromDpcLevel(self.lock.lock.get()) }
    }
}
