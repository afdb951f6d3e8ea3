//! Deferred procedure calls that own their KDPC.
//!
//! A DPC may be queued, and its processor chosen, at any IRQL ("KeInsertQueueDpc", "KeSetTargetProcessorDpcEx"); it runs at
//! DISPATCH_LEVEL. Waiting for it is for PASSIVE_LEVEL ("KeFlushQueuedDpcs").

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::fmt;

use wdk_sys::KDPC;
use wdk_sys::ntddk::{
    KeFlushQueuedDpcs, KeInitializeDpc, KeInsertQueueDpc, KeRemoveQueueDpc, KeSetTargetProcessorDpcEx,
};

use crate::irql::{Dispatch, Passive};
use crate::pool::{Box, Tag};
use crate::processor::Number;
use crate::{Result, Status};

/// A routine that runs at DISPATCH_LEVEL on the processor it is targeted at, with a context of its own.
///
/// Dropping it at PASSIVE_LEVEL waits until a queued or running call is over; at a higher level the waiting is
/// impossible, and the memory is left to the system rather than pulled from under the kernel.
pub struct Dpc<T: Sync + 'static>(Option<Box<Call<T>>>);

impl<T: Send + Sync + 'static> Dpc<T> {
    /// A DPC that will call `routine` with `context`, on the processor that queues it until a target is set.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub fn new(tag: Tag, context: T, routine: fn(&T, &mut Dispatch)) -> Result<Self> {
        let call = Box::new(tag, Call::new(context, routine))?;
        // SAFETY: the call is in nonpaged pool and stays there until `Drop` has made sure that the kernel no longer knows it.
        unsafe { call.initialize() };
        Ok(Self(Some(call)))
    }
}

impl<T: Sync + 'static> Dpc<T> {
    /// Queues the call; false if it is queued already and has not begun. Callable at any IRQL.
    pub fn queue(&self) -> bool {
        self.0.as_ref().is_some_and(|call| {
            // SAFETY: initialised by `new` and alive; any level is allowed.
            unsafe { KeInsertQueueDpc(call.as_dpc(), core::ptr::null_mut(), core::ptr::null_mut()) != 0 }
        })
    }

    /// Lets later calls run on `processor`. Callable at any IRQL; does not move a call that is queued.
    ///
    /// # Errors
    /// INVALID_PARAMETER when there is no such processor.
    pub fn set_target(&self, processor: Number) -> Result {
        let call = self.0.as_ref().ok_or(Status::INVALID_DEVICE_STATE)?;
        let mut number = processor.into_raw();
        // SAFETY: initialised by `new` and alive; the number is a local that the function reads.
        Status::check(unsafe { KeSetTargetProcessorDpcEx(call.as_dpc(), &mut number) })
    }
}

impl<T: Sync + 'static> Drop for Dpc<T> {
    fn drop(&mut self) {
        let Some(call) = self.0.take() else { return };
        // SAFETY: initialised by `new` and alive; any level is allowed.
        unsafe { KeRemoveQueueDpc(call.as_dpc()) };
        match Passive::check() {
            Some(irql) => flush(&irql),
            // A call may be running on another processor: it must find its block.
            None => core::mem::forget(call),
        }
    }
}

impl<T: Sync + 'static> fmt::Debug for Dpc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dpc")
    }
}

/// A KDPC with what it calls. The kernel holds pointers to it, so it does not move once it is initialised.
pub(crate) struct Call<T> {
    dpc: UnsafeCell<KDPC>,
    routine: fn(&T, &mut Dispatch),
    context: T,
}

// SAFETY: the kernel serialises its own access to the KDPC; the context is reached by shared reference only.
unsafe impl<T: Send + Sync> Send for Call<T> {}
// SAFETY: as for `Send`.
unsafe impl<T: Sync> Sync for Call<T> {}

impl<T: Sync + 'static> Call<T> {
    pub(crate) fn new(context: T, routine: fn(&T, &mut Dispatch)) -> Self {
        Self { dpc: UnsafeCell::new(KDPC::default()), routine, context }
    }

    /// Ties the KDPC to this place.
    ///
    /// # Safety
    /// The value is in nonpaged memory and stays where it is until the kernel no longer knows the KDPC.
    pub(crate) unsafe fn initialize(&self) {
        // SAFETY: by the contract of this function.
        unsafe {
            KeInitializeDpc(self.as_dpc(), Some(call::<T>), core::ptr::from_ref(self).cast_mut().cast())
        };
    }

    pub(crate) const fn as_dpc(&self) -> *mut KDPC {
        self.dpc.get()
    }
}

/// Waits until every DPC queued before this call, on every processor, has run.
pub fn flush(_irql: &Passive) {
    // SAFETY: the token gives the level that the function demands.
    unsafe { KeFlushQueuedDpcs() };
}

/// What the kernel calls.
unsafe extern "C" fn call<T: Sync + 'static>(
    _dpc: *mut KDPC,
    call: *mut c_void,
    _first: *mut c_void,
    _second: *mut c_void,
) {
    // SAFETY: `initialize` registered this value, and its owner keeps it until the call is over.
    let call = unsafe { &*call.cast::<Call<T>>() };
    // SAFETY: the kernel calls DPC routines at DISPATCH_LEVEL.
    let mut irql = unsafe { Dispatch::assume() };
    (call.routine)(&call.context, &mut irql);
}
