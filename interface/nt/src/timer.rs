//! Timers that own their KTIMER and KDPC.

use core::cell::UnsafeCell;
use core::fmt;

use wdk_sys::ntddk::{KeCancelTimer, KeInitializeTimerEx, KeSetTimerEx};
use wdk_sys::{_TIMER_TYPE, KTIMER, LARGE_INTEGER};

use crate::Result;
use crate::dpc::{self, Call};
use crate::irql::{AtMostDispatch, Dispatch, Passive};
use crate::pool::{Box, Tag};
use crate::time::Duration;

/// A routine that runs at DISPATCH_LEVEL when a time has passed, once or again and again.
///
/// Dropping it at PASSIVE_LEVEL cancels it and waits until a running call is over; at a higher level the waiting is
/// impossible, and the memory is left to the system rather than pulled from under the kernel.
pub struct Timer<T: Sync + 'static>(Option<Box<Block<T>>>);

/// What the kernel is given pointers to.
struct Block<T> {
    timer: UnsafeCell<KTIMER>,
    call: Call<T>,
}

// SAFETY: the kernel serialises its own access to the timer; the call may be sent and shared when its context may.
unsafe impl<T: Send + Sync> Send for Timer<T> {}
// SAFETY: as for `Send`.
unsafe impl<T: Sync> Sync for Timer<T> {}

impl<T: Send + Sync + 'static> Timer<T> {
    /// A timer that is not set and will call `routine` with `context`.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub fn new(tag: Tag, context: T, routine: fn(&T, &mut Dispatch)) -> Result<Self> {
        let block = Box::new(
            tag,
            Block { timer: UnsafeCell::new(KTIMER::default()), call: Call::new(context, routine) },
        )?;
        // SAFETY: the timer is in nonpaged pool until `Drop` has made sure that the kernel no longer knows it.
        unsafe { KeInitializeTimerEx(block.timer.get(), _TIMER_TYPE::SynchronizationTimer) };
        // SAFETY: likewise the call.
        unsafe { block.call.initialize() };
        Ok(Self(Some(block)))
    }
}

impl<T: Sync + 'static> Timer<T> {
    /// Calls once, `after` from now. Replaces an earlier setting.
    pub fn set(&self, after: Duration, _irql: &impl AtMostDispatch) {
        self.start(after, 0);
    }

    /// Calls every `milliseconds` from now on. Replaces an earlier setting.
    pub fn set_periodic(&self, milliseconds: u16, _irql: &impl AtMostDispatch) {
        self.start(Duration::from_millis(milliseconds.into()), milliseconds.into());
    }

    fn start(&self, after: Duration, period: i32) {
        let Some(block) = &self.0 else { return };
        // Negative: relative to now ("KeSetTimerEx", DueTime).
        let due = LARGE_INTEGER { QuadPart: after.as_ticks().wrapping_neg() };
        // SAFETY: initialised by `new` and alive; the public callers hold a token of an allowed level.
        unsafe { KeSetTimerEx(block.timer.get(), due, period, block.call.as_dpc()) };
    }

    /// Takes the setting back. A call that has begun, or is queued, still runs.
    pub fn cancel(&self, _irql: &impl AtMostDispatch) {
        let Some(block) = &self.0 else { return };
        // SAFETY: initialised by `new` and alive; the token gives an allowed level.
        unsafe { KeCancelTimer(block.timer.get()) };
    }
}

impl<T: Sync + 'static> Drop for Timer<T> {
    fn drop(&mut self) {
        let Some(block) = self.0.take() else { return };
        match Passive::check() {
            Some(irql) => {
                // SAFETY: initialised by `new` and alive; PASSIVE_LEVEL is allowed.
                unsafe { KeCancelTimer(block.timer.get()) };
                // What had fired before the cancellation.
                dpc::flush(&irql);
            }
            // A call may be running on another processor: it must find its block.
            None => core::mem::forget(block),
        }
    }
}

impl<T: Sync + 'static> fmt::Debug for Timer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Timer")
    }
}
