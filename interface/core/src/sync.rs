//! The atomics of this crate: the processor's, or loom's where `tests/interleave` tries every order of what threads do.
//!
//! Loom's are made at run time, so what is `const` for a static is not under `cfg(loom)`.

#[cfg(not(loom))]
pub use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
#[cfg(loom)]
pub use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
