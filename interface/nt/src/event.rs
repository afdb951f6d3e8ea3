//! Events: one side waits, the other signals.
//!
//! Made at any IRQL and signalled at up to DISPATCH_LEVEL ("KeInitializeEvent", "KeSetEvent").

use core::cell::UnsafeCell;
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr;

use wdk_sys::ntddk::{KeClearEvent, KeInitializeEvent, KeSetEvent, KeWaitForSingleObject};
use wdk_sys::{_EVENT_TYPE, _KWAIT_REASON, _MODE, KEVENT, KPROCESSOR_MODE, LARGE_INTEGER};

use crate::irql::{AtMostDispatch, Passive};
use crate::pool::{Box, Tag};
use crate::time::Duration;
use crate::{Result, Status};

/// What a signal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Releases every waiter, and stays until it is cleared (a notification event).
    Stays,
    /// Releases one waiter and is gone (a synchronization event).
    ReleasesOne,
}

/// A KEVENT in nonpaged pool.
pub struct Event(Box<UnsafeCell<KEVENT>>);

// SAFETY: the dispatcher functions serialise every access to a KEVENT; nothing else touches it.
unsafe impl Send for Event {}
// SAFETY: as for `Send`.
unsafe impl Sync for Event {}

impl Event {
    /// An event that is not signalled.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub fn new(tag: Tag, kind: Kind) -> Result<Self> {
        let event = Box::new(tag, UnsafeCell::new(KEVENT::default()))?;
        // SAFETY: the event is in nonpaged pool, where it stays until `Drop`.
        unsafe { initialize(event.get(), kind) };
        Ok(Self(event))
    }

    /// Signals.
    pub fn set(&self, _irql: &impl AtMostDispatch) {
        // SAFETY: `new` initialised the event; the token gives a level at which a set without wait is allowed.
        unsafe { set(self.0.get()) };
    }

    /// Takes the signal back.
    pub fn clear(&self, _irql: &impl AtMostDispatch) {
        // SAFETY: `new` initialised the event; the token gives an allowed level.
        unsafe { KeClearEvent(self.0.get()) };
    }

    /// Waits for the signal, however long it takes.
    pub fn wait(&self, _irql: &Passive) {
        // SAFETY: `new` initialised the event, and the token says that waiting is allowed.
        unsafe { wait(self.0.get().cast(), None) };
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Event")
    }
}

/// An event that can stand in a static or inside another lock's data: its KEVENT comes to life when it is first needed.
///
/// A KEVENT holds pointers to itself, so it can be neither const-initialised nor moved. This one is initialised by
/// [`LazyEvent::get`] at the address it then has, and again if it has been moved since: nobody can be waiting on it
/// then, for a waiter borrows it.
pub(crate) struct LazyEvent {
    event: UnsafeCell<MaybeUninit<KEVENT>>,
    /// Address at which the event was initialised; 0 = not yet.
    initialized_at: UnsafeCell<usize>,
    kind: Kind,
}

impl LazyEvent {
    pub(crate) const fn new(kind: Kind) -> Self {
        Self { event: UnsafeCell::new(MaybeUninit::uninit()), initialized_at: UnsafeCell::new(0), kind }
    }

    /// The event, ready to be waited on or set.
    ///
    /// # Safety
    /// The calls are serialised by the caller, and the memory is nonpaged.
    pub(crate) unsafe fn get(&self) -> *mut KEVENT {
        let event: *mut KEVENT = self.event.get().cast();
        let home = self.initialized_at.get();
        // SAFETY: the caller serialises the access.
        if unsafe { *home } != event.addr() {
            // SAFETY: the event is nonpaged, and nobody waits on it: it is new, or was moved, which takes all borrows to end.
            unsafe { initialize(event, self.kind) };
            // SAFETY: the caller serialises the access.
            unsafe { *home = event.addr() };
        }
        event
    }
}

/// Makes an event that is not signalled.
///
/// # Safety
/// `event` is nonpaged memory that does not move while the event is in use, and nobody waits on it.
pub(crate) unsafe fn initialize(event: *mut KEVENT, kind: Kind) {
    let kind = match kind {
        Kind::Stays => _EVENT_TYPE::NotificationEvent,
        Kind::ReleasesOne => _EVENT_TYPE::SynchronizationEvent,
    };
    // SAFETY: by the contract of this function.
    unsafe { KeInitializeEvent(event, kind, 0) };
}

/// Signals.
///
/// # Safety
/// `event` is initialised and alive, and the level is DISPATCH_LEVEL or below.
pub(crate) unsafe fn set(event: *mut KEVENT) {
    // SAFETY: by the contract of this function; Wait is FALSE, so the level returns unchanged. IO_NO_INCREMENT is 0.
    unsafe { KeSetEvent(event, 0, 0) };
}

/// Waits until `object` is signalled, or until `limit` has passed; whether it was signalled.
///
/// # Safety
/// `object` is a dispatcher object that is initialised and alive, and the level is PASSIVE_LEVEL.
pub(crate) unsafe fn wait(object: *mut core::ffi::c_void, limit: Option<Duration>) -> bool {
    // Negative: relative to now ("KeWaitForSingleObject", Timeout).
    let mut timeout = LARGE_INTEGER { QuadPart: limit.map_or(0, |limit| limit.as_ticks().wrapping_neg()) };
    let timeout = if limit.is_some() { &raw mut timeout } else { ptr::null_mut() };
    // SAFETY: by the contract of this function; a kernel-mode wait that is not alertable keeps the stack resident and
    // ends with the signal or the timeout only.
    let status = unsafe {
        KeWaitForSingleObject(
            object,
            _KWAIT_REASON::Executive,
            _MODE::KernelMode as KPROCESSOR_MODE,
            0,
            timeout,
        )
    };
    status == Status::SUCCESS.code()
}
