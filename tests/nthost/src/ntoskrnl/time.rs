//! Time. All of it is virtual.

use crate::cpu::timer::TICK;
use crate::export::ANY;
use crate::kernel::Kernel;
use crate::stop::{Fault, bugcheck};

/// Clock ticks come every 15.625 ms, in 100 ns units.
const CLOCK: u64 = 156_250;
/// A stall longer than this keeps a processor from everything else for too long (Learn, KeStallExecutionProcessor:
/// "no more than 50 microseconds"; the machine allows what bring-up code needs, our choice).
const LONGEST_STALL: u32 = 100_000;

fn interrupt_time(k: &Kernel) -> u64 {
    k.now() / TICK
}

/// Time goes by on this processor; the others go on meanwhile.
fn stall(k: &Kernel, microseconds: u32) {
    let end = k.now() + u64::from(microseconds) * 1000;
    while k.now() < end {
        k.pass_time((end - k.now()).min(1000));
        k.give_way();
    }
}

crate::export::exports! {
    module "ntoskrnl.exe";

    /// Keeps the processor busy for a number of microseconds.
    fn KeStallExecutionProcessor(k; microseconds: u32) [ANY, "Learn, KeStallExecutionProcessor"] {
        if microseconds > LONGEST_STALL {
            k.stop(Fault::new("StallTooLong", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                .text(format!("KeStallExecutionProcessor for {microseconds} microseconds")));
        }
        stall(k, microseconds);
    }

    /// The performance counter: 10 MHz.
    fn KeQueryPerformanceCounter(k; frequency: u64) -> i64 [ANY, "Learn, KeQueryPerformanceCounter"] {
        if frequency != 0 {
            k.write(frequency, 10_000_000i64);
        }
        interrupt_time(k) as i64
    }

    /// Interrupt time in 100 ns, as of the last clock tick.
    fn KeQueryInterruptTime(k;) -> u64 [ANY, "Learn, KeQueryInterruptTime"] {
        interrupt_time(k) / CLOCK * CLOCK
    }

    /// Interrupt time in 100 ns, and the performance counter it was taken at.
    fn KeQueryInterruptTimePrecise(k; counter: u64) -> u64 [ANY, "Learn, KeQueryInterruptTimePrecise"] {
        if counter != 0 {
            k.write(counter, interrupt_time(k));
        }
        interrupt_time(k)
    }

    /// Interrupt time without time asleep.
    fn KeQueryUnbiasedInterruptTime(k;) -> u64 [ANY, "Learn, KeQueryUnbiasedInterruptTime"] {
        interrupt_time(k) / CLOCK * CLOCK
    }

    /// System time in 100 ns since 1601.
    fn KeQuerySystemTimePrecise(k; time: u64) [ANY, "Learn, KeQuerySystemTimePrecise"] {
        k.write(time, k.system_time());
    }

    /// The length of a clock tick in 100 ns.
    pure fn KeQueryTimeIncrement(k;) -> u32 [ANY, "Learn, KeQueryTimeIncrement"] {
        CLOCK as u32
    }
}
