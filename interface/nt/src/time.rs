//! Time as the kernel counts it: 100-nanosecond ticks since the machine started.
//!
//! Asked for at any IRQL ("KeQueryInterruptTimePrecise"), and waited for without sleeping ("KeStallExecutionProcessor").

use wdk_sys::ntddk::{KeQueryInterruptTimePrecise, KeStallExecutionProcessor};

/// A span of time in ticks of 100 ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(u64);

impl Duration {
    /// `count` microseconds; what is too large saturates.
    #[must_use]
    pub const fn from_micros(count: u64) -> Self {
        Self(count.saturating_mul(10))
    }

    /// `count` milliseconds; what is too large saturates.
    #[must_use]
    pub const fn from_millis(count: u64) -> Self {
        Self(count.saturating_mul(10_000))
    }

    /// `count` seconds; what is too large saturates.
    #[must_use]
    pub const fn from_secs(count: u64) -> Self {
        Self(count.saturating_mul(10_000_000))
    }

    /// Whole microseconds.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0 / 10
    }

    /// Ticks of 100 ns, at most `i64::MAX`, as timers and waits take them.
    pub(crate) const fn as_ticks(self) -> i64 {
        if self.0 > i64::MAX as u64 { i64::MAX } else { self.0 as i64 }
    }
}

/// A point in time since the machine started; does not follow changes of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

impl Instant {
    /// Now, with the precision of the performance counter. Callable at any IRQL.
    #[must_use]
    pub fn now() -> Self {
        let mut counter = 0;
        // SAFETY: the pointer is to a local the function writes to; any level is allowed.
        Self(unsafe { KeQueryInterruptTimePrecise(&mut counter) })
    }

    /// How long ago this was; zero if it lies ahead.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Duration(Self::now().0.saturating_sub(self.0))
    }

    /// Ticks of 100 ns since the machine started.
    #[must_use]
    pub const fn ticks(self) -> u64 {
        self.0
    }
}

/// Longest stall that is good manners: "no more than 50 microseconds" (Learn, KeStallExecutionProcessor).
pub const LONGEST_STALL: Duration = Duration::from_micros(50);

/// Keeps the processor busy for `time`, at most [`LONGEST_STALL`]. Callable at any IRQL.
pub fn stall(time: Duration) {
    let microseconds = time.min(LONGEST_STALL).as_micros() as u32;
    // SAFETY: any level is allowed; the time is bounded above.
    unsafe { KeStallExecutionProcessor(microseconds) };
}
