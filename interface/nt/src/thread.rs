//! The thread that runs.
//!
//! Any IRQL ("PsGetCurrentThreadId"), except for sleeping.

use wdk_sys::ntddk::{KeDelayExecutionThread, PsGetCurrentThreadId};
use wdk_sys::{_MODE, KPROCESSOR_MODE, LARGE_INTEGER};

use crate::irql::Passive;
use crate::time::Duration;

/// A number that names the running thread among those alive, never 0. In a DPC it names the interrupted thread.
#[must_use]
pub fn current() -> usize {
    // SAFETY: reads the processor's current thread; any level is allowed.
    unsafe { PsGetCurrentThreadId() }.addr()
}

/// Lets the thread rest for `time` at least; the clock's tick, up to 16 ms, is the grain.
pub fn sleep(time: Duration, _irql: &Passive) {
    // Negative: relative to now ("KeDelayExecutionThread", Interval).
    let mut interval = LARGE_INTEGER { QuadPart: time.as_ticks().wrapping_neg() };
    // SAFETY: the token says that waiting is allowed; the interval is a local that the function reads.
    let _status = unsafe { KeDelayExecutionThread(_MODE::KernelMode as KPROCESSOR_MODE, 0, &mut interval) };
}
