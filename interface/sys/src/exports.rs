//! The exported C functions. Each checks what its caller passed, makes a token of the level it finds, and calls the module
//! that knows.
#![allow(unsafe_code, reason = "C entry points")]
#![allow(non_snake_case, reason = "the exports' names are given")]

mod client;
mod provider;

use netdma_events::Misuse;
use nt::irql::{Passive, UpToDispatch};

use crate::trace::{self, Export};

/// A token for an export of PASSIVE_LEVEL, which also sees to it that the image is initialised.
fn passive(export: Export, argument: usize) -> Option<Passive> {
    let irql = Passive::check();
    match &irql {
        Some(irql) => crate::entry::init(irql),
        None => trace::misuse(Misuse::WrongIrql, export, argument),
    }
    irql
}

/// A token for an export of at most DISPATCH_LEVEL.
#[inline]
fn up_to_dispatch(export: Export, argument: usize) -> Option<UpToDispatch> {
    let irql = UpToDispatch::check();
    if irql.is_none() {
        trace::misuse(Misuse::WrongIrql, export, argument);
    }
    irql
}

/// What a caller's pointer points to, copied; `None` for null or a misaligned pointer.
///
/// # Safety
/// `pointer` is null, misaligned, or points to a value that may be read.
unsafe fn read<T: Copy>(pointer: *const T) -> Option<T> {
    if pointer.is_null() || !pointer.is_aligned() {
        return None;
    }
    // SAFETY: neither null nor misaligned, so the caller says that it may be read.
    Some(unsafe { pointer.read() })
}

/// Stores a value where a caller wants it; `false` for null or a misaligned pointer.
///
/// # Safety
/// `pointer` is null, misaligned, or points to memory that may be written.
unsafe fn write<T>(pointer: *mut T, value: T) -> bool {
    if pointer.is_null() || !pointer.is_aligned() {
        return false;
    }
    // SAFETY: neither null nor misaligned, so the caller says that it may be written.
    unsafe { pointer.write(value) };
    true
}
