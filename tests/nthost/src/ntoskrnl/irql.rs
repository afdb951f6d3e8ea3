//! IRQL, critical regions, and the end of the world.

use std::sync::atomic::Ordering;

use crate::cpu::irql::DISPATCH as DISPATCH_LEVEL;
use crate::export::{ANY, APC, UpTo};
use crate::kernel::Kernel;
use crate::stop::{Fault, bugcheck};

crate::export::exports! {
    module "ntoskrnl.exe";

    /// Raises the IRQL and returns the old one.
    fn KfRaiseIrql(k; new: u8) -> u8 [ANY, "Learn, KeRaiseIrql"] {
        k.raise_irql(new)
    }

    /// Raises to DISPATCH_LEVEL and returns the old IRQL.
    fn KeRaiseIrqlToDpcLevel(k;) -> u8 [UpTo(2), "Learn, KeRaiseIrqlToDpcLevel"] {
        k.raise_irql(DISPATCH_LEVEL)
    }

    /// Lowers the IRQL.
    fn KeLowerIrql(k; new: u8) [ANY, "Learn, KeLowerIrql"] {
        k.lower_irql(new);
    }

    /// The current IRQL.
    pure fn KeGetCurrentIrql(k;) -> u8 [ANY, "Learn, KeGetCurrentIrql"] {
        k.irql()
    }

    /// Holds normal kernel APCs off until KeLeaveCriticalRegion.
    pure fn KeEnterCriticalRegion(k;) [APC, "Learn, KeEnterCriticalRegion"] {
        k.current_thread().critical.fetch_add(1, Ordering::Relaxed);
    }

    /// Undoes one KeEnterCriticalRegion.
    pure fn KeLeaveCriticalRegion(k;) [APC, "Learn, KeLeaveCriticalRegion"] {
        if k.current_thread().critical.fetch_sub(1, Ordering::Relaxed) <= 0 {
            k.stop(Fault::new("CriticalRegions", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                .text("KeLeaveCriticalRegion without KeEnterCriticalRegion"));
        }
    }

    /// Whether normal kernel APCs are held off.
    pure fn KeAreApcsDisabled(k;) -> u8 [UpTo(2), "Learn, KeAreApcsDisabled"] {
        u8::from(k.current_thread().critical.load(Ordering::Relaxed) > 0)
    }

    /// Stops the machine because the driver wants it.
    fn KeBugCheckEx(k; code: u32, first: u64, second: u64, third: u64, fourth: u64) [ANY, "Learn, KeBugCheckEx"] {
        bug_check(k, code, &[first, second, third, fourth]);
    }

    /// Stops the machine because the driver wants it.
    fn KeBugCheck(k; code: u32) [ANY, "Learn, KeBugCheckEx"] {
        bug_check(k, code, &[]);
    }
}

fn bug_check(k: &Kernel, code: u32, parameters: &[u64]) -> ! {
    let check = bugcheck::of_code(code);
    let fault = Fault::new("KeBugCheckEx", check).text("the driver asked for this stop");
    k.stop(parameters.iter().fold(fault, |fault, &value| fault.parameter(value, "given by the driver")));
}
