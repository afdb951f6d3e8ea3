//! What once stood in hal.dll. Windows 10 2004 moved it into ntoskrnl.exe, which exports it too.

use crate::types::*;

imports! {
    fn KeQueryPerformanceCounter(PerformanceFrequency: PLARGE_INTEGER) -> LARGE_INTEGER;
}
