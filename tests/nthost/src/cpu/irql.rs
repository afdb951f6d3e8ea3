//! Interrupt request levels of x64 Windows.

use std::sync::atomic::Ordering;

use crate::kernel::Kernel;
use crate::stop::{Fault, bugcheck};

/// Threads.
pub const PASSIVE: u8 = 0;
/// Threads with asynchronous procedure calls held off.
pub const APC: u8 = 1;
/// The dispatcher and DPCs; no waiting.
pub const DISPATCH: u8 = 2;
/// The lowest level of a device interrupt.
pub const DEVICE_LOWEST: u8 = 3;
/// The highest level of a device interrupt.
pub const DEVICE_HIGHEST: u8 = 12;
/// Nothing interrupts.
pub const HIGH: u8 = 15;

/// Nanoseconds a processor may stay at DISPATCH_LEVEL or above. Windows' watchdog is more patient and its guidance less
/// (Learn, "Guidelines for Writing DPC Routines": 100 us); machine time also passes while other processors run. Our choice.
const LONGEST_RAISED: u64 = 10_000_000;

impl Kernel {
    /// The IRQL of the processor that runs.
    #[must_use]
    pub fn irql(&self) -> u8 {
        self.cpu().irql.load(Ordering::Relaxed)
    }

    pub(crate) fn set_irql(&self, irql: u8) {
        self.cpu().irql.store(irql, Ordering::Relaxed);
    }

    /// From now on the processor serves nothing below DISPATCH_LEVEL.
    pub(crate) fn note_raised(&self) {
        self.cpu().raised_at.store(self.now(), Ordering::Relaxed);
    }

    /// Stops the machine when `what` has kept the processor at DISPATCH_LEVEL or above for too long.
    pub(crate) fn check_raised_time(&self, what: &str) {
        let time = self.now().saturating_sub(self.cpu().raised_at.load(Ordering::Relaxed));
        if time > LONGEST_RAISED {
            self.stop(
                Fault::new("DpcWatchdog", bugcheck::DPC_WATCHDOG_VIOLATION)
                    .text(format!(
                        "{what} kept a processor at DISPATCH_LEVEL or above for {} us of machine time",
                        time / 1000
                    ))
                    .parameter(1, "time at DISPATCH_LEVEL or above")
                    .parameter(time, "nanoseconds of machine time")
                    .parameter(LONGEST_RAISED, "allowed"),
            );
        }
    }

    /// Raises the IRQL and returns the old one. Raising to a lower level stops the machine.
    pub fn raise_irql(&self, new: u8) -> u8 {
        let old = self.irql();
        if new < old || new > HIGH {
            self.stop(
                Fault::new("IrqlKeRaiseLower", bugcheck::IRQL_NOT_GREATER_OR_EQUAL)
                    .text(format!("the IRQL is raised from {old} to {new}"))
                    .parameter(u64::from(old), "current IRQL")
                    .parameter(u64::from(new), "requested IRQL"),
            );
        }
        if old < DISPATCH && new >= DISPATCH {
            self.note_raised();
        }
        self.set_irql(new);
        old
    }

    /// Lowers the IRQL; what was held off runs before this returns. Lowering to a higher level stops the machine.
    pub fn lower_irql(&self, new: u8) {
        let old = self.irql();
        if new > old {
            self.stop(
                Fault::new("IrqlKeRaiseLower", bugcheck::IRQL_NOT_LESS_OR_EQUAL)
                    .text(format!("the IRQL is lowered from {old} to {new}"))
                    .parameter(u64::from(old), "current IRQL")
                    .parameter(u64::from(new), "requested IRQL"),
            );
        }
        if new < DISPATCH && old >= DISPATCH {
            self.check_lowering(new);
            self.check_raised_time("code at raised IRQL");
        }
        self.set_irql(new);
        self.deliver();
    }
}
