//! The kernel proper.

use crate::types::*;

imports! {
    fn KeGetCurrentIrql() -> KIRQL;
    fn KeBugCheckEx(
        BugCheckCode: ULONG, BugCheckParameter1: ULONG_PTR, BugCheckParameter2: ULONG_PTR,
        BugCheckParameter3: ULONG_PTR, BugCheckParameter4: ULONG_PTR) -> !;
    fn KeStallExecutionProcessor(MicroSeconds: ULONG);
}
