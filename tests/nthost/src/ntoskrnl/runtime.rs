//! What compiled code itself calls: memory and string functions, stack probes, messages.

use std::arch::naked_asm;
use std::cmp::Ordering;

use crate::export::{ANY, Export};
use crate::kernel::Kernel;
use crate::stop::{Fault, bugcheck};

/// Probes the stack. A thread's stack is all there; what overruns it meets the guard page.
///
/// It takes its argument in RAX and must keep every register, so it cannot be an ordinary function.
#[unsafe(naked)]
extern "win64" fn chkstk() {
    naked_asm!("ret")
}

static CHKSTK: Export = Export {
    module: "ntoskrnl.exe",
    name: "__chkstk",
    irql: ANY,
    source: "Learn, __chkstk routine",
    address: chkstk as *const (),
};

/// Functions that are entered without ceremony.
pub(crate) static BARE: &[&Export] = &[&CHKSTK];

fn copy(to: u64, from: u64, length: u64) -> u64 {
    // SAFETY: a driver's own addresses; where nothing is, the copy faults and the machine stops.
    unsafe { std::ptr::copy(from as *const u8, to as *mut u8, length as usize) };
    to
}

/// A driver's message with up to 15 arguments, as they lie in registers and on the stack.
fn print(k: &Kernel, format: u64, arguments: &[u64]) -> i32 {
    let text = super::format::format(k, &k.c_string(format), arguments);
    k.record(format!("DbgPrint {}", text.trim_end()), 0);
    k.services.messages.with(|messages| messages.push(text));
    0
}

crate::export::exports! {
    module "ntoskrnl.exe";

    /// Copies; the ranges do not overlap.
    pure fn memcpy(k; to: u64, from: u64, length: u64) -> u64 [ANY, "Learn, memcpy"] {
        if to < from + length && from < to + length && length != 0 && to != from {
            k.stop(Fault::new("Overlap", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                .text(format!("memcpy of {length} bytes from {from:#x} to {to:#x}: the ranges overlap")));
        }
        copy(to, from, length)
    }

    /// Copies; the ranges may overlap.
    pure fn memmove(k; to: u64, from: u64, length: u64) -> u64 [ANY, "Learn, memmove"] {
        copy(to, from, length)
    }

    /// Fills.
    pure fn memset(k; to: u64, byte: i32, length: u64) -> u64 [ANY, "Learn, memset"] {
        // SAFETY: a driver's own address; where nothing is, the fill faults and the machine stops.
        unsafe { std::ptr::write_bytes(to as *mut u8, byte as u8, length as usize) };
        to
    }

    /// Compares.
    pure fn memcmp(k; left: u64, right: u64, length: u64) -> i32 [ANY, "Learn, memcmp"] {
        match k.bytes(left, length as usize).cmp(&k.bytes(right, length as usize)) {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        }
    }

    /// How many bytes from the start are equal.
    pure fn RtlCompareMemory(k; left: u64, right: u64, length: u64) -> u64 [ANY, "Learn, RtlCompareMemory"] {
        let (left, right) = (k.bytes(left, length as usize), k.bytes(right, length as usize));
        left.iter().zip(&right).take_while(|(left, right)| left == right).count() as u64
    }

    /// The length of a string.
    pure fn strlen(k; string: u64) -> u64 [ANY, "Learn, strlen"] {
        (0..).take_while(|byte| k.read::<u8>(string + byte) != 0).count() as u64
    }

    /// The length of a wide string in characters.
    pure fn wcslen(k; string: u64) -> u64 [ANY, "Learn, wcslen"] {
        (0..).take_while(|unit| k.read::<u16>(string + unit * 2) != 0).count() as u64
    }

    /// The exception handler of compiled code. No exception is ever dispatched: a fault stops the machine.
    fn __C_specific_handler(k; record: u64, frame: u64, context: u64, dispatcher: u64) -> i32 [ANY, "winnt.h, __C_specific_handler"] {
        let _ = (record, frame, context, dispatcher);
        k.stop(Fault::new("Exception", bugcheck::KMODE_EXCEPTION_NOT_HANDLED)
            .text("__C_specific_handler was called by the driver itself"));
    }

    /// Prints a message.
    pure fn DbgPrint(k; format: u64, a: u64, b: u64, c: u64, d: u64, e: u64, f: u64, g: u64, h: u64, i: u64, j: u64) -> i32 [ANY, "Learn, DbgPrint"] {
        print(k, format, &[a, b, c, d, e, f, g, h, i, j])
    }

    /// Prints a message of a component.
    pure fn DbgPrintEx(k; component: u32, level: u32, format: u64, a: u64, b: u64, c: u64, d: u64, e: u64, f: u64, g: u64, h: u64) -> i32 [ANY, "Learn, DbgPrintEx"] {
        let _ = (component, level);
        print(k, format, &[a, b, c, d, e, f, g, h])
    }
}
