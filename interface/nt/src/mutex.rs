//! A lock for PASSIVE_LEVEL that may stand in a static.
//!
//! Waiting is by an event ("KeWaitForSingleObject") in a critical region, so that the holder is not suspended
//! ("KeEnterCriticalRegion").

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use wdk_sys::ntddk::{KeEnterCriticalRegion, KeLeaveCriticalRegion};

use crate::event::{self, Kind, LazyEvent};
use crate::irql::Passive;
use crate::spin_lock::SpinLock;

/// Data that is touched only at PASSIVE_LEVEL with this lock held. Its holder may wait and may call whatever waits.
///
/// Const-initialised, unlike the kernel's own fast and guarded mutexes, whose event needs code to run first: netdma.sys
/// may be entered before any initialisation has run. The lock is handed to the waiter that came first. Not recursive.
///
/// While it is held the thread cannot be suspended: normal kernel APCs are off (KeEnterCriticalRegion), as under a
/// push lock. PASSIVE_LEVEL stays, so the holder keeps its [`Passive`] token.
pub struct Mutex<T: ?Sized> {
    state: SpinLock<State>,
    released: LazyEvent,
    value: UnsafeCell<T>,
}

struct State {
    held: bool,
    waiters: usize,
}

// SAFETY: the value moves with the lock, and nothing of it is tied to a thread when it may be sent. The event is
// initialised anew after a move.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: the value is reached only through a guard, and there is one guard at a time.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    /// A free lock around `value`. Must come to rest in nonpaged memory: an image's data, or the pool.
    pub const fn new(value: T) -> Self {
        Self {
            state: SpinLock::new(State { held: false, waiters: 0 }),
            released: LazyEvent::new(Kind::ReleasesOne),
            value: UnsafeCell::new(value),
        }
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock and takes it.
    pub fn lock<'a>(&'a self, irql: &mut Passive) -> MutexGuard<'a, T> {
        // SAFETY: the token says PASSIVE_LEVEL; the guard leaves the region.
        unsafe { KeEnterCriticalRegion() };
        let mut state = self.state.lock(irql);
        if state.held {
            state.waiters = state.waiters.wrapping_add(1);
            // SAFETY: the state lock serialises the calls, and the memory is nonpaged by the contract of `new`.
            let released = unsafe { self.released.get() };
            drop(state);
            // The holder hands the lock over with the signal: `held` stays true.
            // SAFETY: the event is alive while `self` is borrowed, and the level is PASSIVE_LEVEL again.
            unsafe { event::wait(released.cast(), None) };
        } else {
            state.held = true;
        }
        MutexGuard { mutex: self, thread: PhantomData }
    }

    /// The data, without locking: whoever holds the lock exclusively is alone with it.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: ?Sized> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mutex")
    }
}

/// The lock is held until this is dropped, which must happen at PASSIVE_LEVEL on the thread that took it.
#[must_use = "the lock is released when this is dropped"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    /// Keeps the guard on its thread: the critical region is the thread's.
    thread: PhantomData<*mut ()>,
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: holding the lock makes this guard the only way to the value; a shared borrow of it gives no `&mut`.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: holding the lock makes this guard the only way to the value; the borrow of the guard keeps it so.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: the guard was made at PASSIVE_LEVEL and is documented to end there.
        let mut irql = unsafe { Passive::assume() };
        let mut state = self.mutex.state.lock(&mut irql);
        if state.waiters == 0 {
            state.held = false;
        } else {
            state.waiters = state.waiters.wrapping_sub(1);
            // SAFETY: the state lock serialises the calls; a waiter is there, so the event has been initialised in place.
            let released = unsafe { self.mutex.released.get() };
            // SAFETY: the event is alive while the lock is; DISPATCH_LEVEL is allowed.
            unsafe { event::set(released) };
        }
        drop(state);
        // SAFETY: pairs with `lock`, on the same thread: guards cannot be sent.
        unsafe { KeLeaveCriticalRegion() };
    }
}
