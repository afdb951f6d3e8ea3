//! The interrupt request level as a value.
//!
//! A token says at which IRQL the code that holds it runs. It has no size, cannot be copied, and cannot leave its
//! thread. Three things can be done with one:
//!
//! * lend it (`&Passive`) to a function that needs that level: a lent token cannot be raised;
//! * raise it (`&mut Passive`), by [`raise`] or by taking a [`SpinLock`]: until the guard is dropped the lower token is
//!   borrowed, so no code that needs the lower level compiles in between;
//! * let it go out of scope at the end of the callback that it was made for.
//!
//! Tokens come from where the kernel documents the level: the callbacks of this crate are handed one, and the C entry
//! points of a .sys make theirs by `assume` (an argument, hence unsafe) or by [`Passive::check`] (a look at the
//! processor, for exports that others may call wrongly). One is enough for an entry point: a second token made beside the
//! first would survive the first one's raising.
//!
//! Under a spin lock nothing that waits compiles:
//!
//! ```compile_fail,E0502
//! use nt::irql::Passive;
//! use nt::spin_lock::SpinLock;
//! use nt::event::Event;
//!
//! fn wait_under_the_lock(lock: &SpinLock<u32>, event: &Event, irql: &mut Passive) {
//!     let guard = lock.lock(irql);
//!     event.wait(irql); // the lock has borrowed the token
//!     drop(guard);
//! }
//! ```
//!
//! Nor does dropping the outer of two locks first:
//!
//! ```compile_fail,E0505
//! use nt::irql::Passive;
//! use nt::spin_lock::SpinLock;
//!
//! fn release_in_the_wrong_order(outer: &SpinLock<u32>, inner: &SpinLock<u32>, irql: &mut Passive) {
//!     let first = outer.lock(irql);
//!     let second = inner.lock_at_dispatch(first.irql());
//!     drop(first); // the second was taken at the level that the first one raised to
//!     drop(second);
//! }
//! ```
//!
//! | Token | Level | Where |
//! |---|---|---|
//! | [`Passive`] | PASSIVE_LEVEL | PnP and power callbacks, threads, work items |
//! | [`Dispatch`] | DISPATCH_LEVEL | DPCs, under a spin lock |
//! | [`UpToDispatch`] | one of the two, unknown which | exports documented "<= DISPATCH_LEVEL" |
//! | [`Device`] | the device's own level | interrupt service routines |
//! | [`BugCheck`] | HIGH_LEVEL, all other processors halted | bug check callbacks |
//!
//! [`SpinLock`]: crate::spin_lock::SpinLock
//!
//! The levels and what may be done at each: "Managing Hardware Priorities". That a level is a type is our choice.

use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use wdk_sys::ntddk::{KeGetCurrentIrql, KeLowerIrql, KfRaiseIrql};
use wdk_sys::{DISPATCH_LEVEL, KIRQL, PASSIVE_LEVEL};

/// Runs at PASSIVE_LEVEL: may wait, may touch pageable memory.
#[derive(Debug)]
pub struct Passive(PhantomData<*mut ()>);

/// Runs at DISPATCH_LEVEL: cannot be preempted on its processor, must not wait.
#[derive(Debug)]
pub struct Dispatch(PhantomData<*mut ()>);

/// Runs at DISPATCH_LEVEL or below: must not wait, may be preempted.
#[derive(Debug)]
pub struct UpToDispatch(Passive);

/// Runs at a device's interrupt level: only atomics, registers and queueing a DPC.
#[derive(Debug)]
pub struct Device(PhantomData<*mut ()>);

/// Runs while the system is being stopped: at HIGH_LEVEL, and no other processor runs. No lock can be had, no memory that
/// may be paged, nothing but resident memory and registers.
#[derive(Debug)]
pub struct BugCheck(PhantomData<*mut ()>);

impl BugCheck {
    /// The callback that was called at a bug check.
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }
}

/// A level from which DISPATCH_LEVEL can be reached by raising.
pub trait AtMostDispatch: sealed::Sealed {
    /// The same level as [`Passive`], if that is what it is: for code that may wait when it can.
    fn as_passive(&mut self) -> Option<&mut Passive>;
}

impl AtMostDispatch for Passive {
    fn as_passive(&mut self) -> Option<&mut Passive> {
        Some(self)
    }
}

impl AtMostDispatch for Dispatch {
    fn as_passive(&mut self) -> Option<&mut Passive> {
        None
    }
}

impl AtMostDispatch for UpToDispatch {
    fn as_passive(&mut self) -> Option<&mut Passive> {
        is_passive().then_some(&mut self.0)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Passive {}
    impl Sealed for super::Dispatch {}
    impl Sealed for super::UpToDispatch {}
}

impl Passive {
    /// A token for the rest of the caller's scope.
    ///
    /// # Safety
    /// The processor is at PASSIVE_LEVEL, and no other token exists on this thread's stack that is not lent to the caller.
    #[must_use]
    pub const unsafe fn assume() -> Self {
        Self(PhantomData)
    }

    /// A token if the processor is at PASSIVE_LEVEL, for exports that a foreign driver may call at a wrong level.
    ///
    /// Called with a spin lock of this crate held, it gives `None`.
    #[must_use]
    pub fn check() -> Option<Self> {
        is_passive().then_some(Self(PhantomData))
    }
}

impl Dispatch {
    /// A token for the rest of the caller's scope.
    ///
    /// # Safety
    /// The processor is at DISPATCH_LEVEL and stays there for the life of the token.
    #[must_use]
    pub const unsafe fn assume() -> Self {
        Self(PhantomData)
    }

    /// A token if the processor is at DISPATCH_LEVEL, for exports that a foreign driver may call at a wrong level.
    ///
    /// The level can fall only by dropping the guard or leaving the callback that raised it, which the caller of an export
    /// does after the export has returned.
    #[must_use]
    pub fn check() -> Option<Self> {
        (current() == DISPATCH_LEVEL as KIRQL).then_some(Self(PhantomData))
    }
}

impl UpToDispatch {
    /// A token for the rest of the caller's scope.
    ///
    /// # Safety
    /// The processor is at DISPATCH_LEVEL or below, and no other token exists on this thread's stack that is not lent
    /// to the caller.
    #[must_use]
    pub const unsafe fn assume() -> Self {
        Self(Passive(PhantomData))
    }

    /// A token if the processor is at DISPATCH_LEVEL or below, for exports that a foreign driver may call at a wrong level.
    #[must_use]
    pub fn check() -> Option<Self> {
        (current() <= DISPATCH_LEVEL as KIRQL).then_some(Self(Passive(PhantomData)))
    }
}

impl Device {
    /// A token for the rest of the caller's scope.
    ///
    /// # Safety
    /// The caller runs as, or synchronised with, an interrupt service routine.
    #[must_use]
    pub const unsafe fn assume() -> Self {
        Self(PhantomData)
    }
}

/// The processor's IRQL. Callable at any level.
#[must_use]
pub fn current() -> KIRQL {
    // SAFETY: reads the processor's own level; it has no precondition.
    unsafe { KeGetCurrentIrql() }
}

fn is_passive() -> bool {
    current() == PASSIVE_LEVEL as KIRQL
}

/// Raises to DISPATCH_LEVEL until the returned guard is dropped.
///
/// Guards nest like the scopes they stand in: a guard borrows the token it raised, and the token of an outer guard is
/// reachable only through that guard.
pub fn raise<I: AtMostDispatch>(irql: &mut I) -> Raised<'_> {
    let _borrowed = irql;
    // SAFETY: the token says that the level is DISPATCH_LEVEL or below, so this never lowers it.
    let previous = unsafe { KfRaiseIrql(DISPATCH_LEVEL as KIRQL) };
    Raised { previous, dispatch: Dispatch(PhantomData), lower: PhantomData }
}

/// The processor is at DISPATCH_LEVEL until this is dropped. Gives the [`Dispatch`] token.
#[derive(Debug)]
#[must_use = "the level falls again when this is dropped"]
pub struct Raised<'irql> {
    previous: KIRQL,
    dispatch: Dispatch,
    lower: PhantomData<&'irql mut ()>,
}

impl Deref for Raised<'_> {
    type Target = Dispatch;

    fn deref(&self) -> &Dispatch {
        &self.dispatch
    }
}

impl DerefMut for Raised<'_> {
    fn deref_mut(&mut self) -> &mut Dispatch {
        &mut self.dispatch
    }
}

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        // SAFETY: `previous` is the level that `raise` found, and the guard's borrow kept every guard inside it shorter.
        unsafe { KeLowerIrql(self.previous) }
    }
}
