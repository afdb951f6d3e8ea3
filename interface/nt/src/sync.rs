//! The atomics of what `tests/interleave` tries in every order: the processor's here, loom's there.

pub use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
