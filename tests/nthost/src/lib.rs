//! A hosted NT machine: runs unmodified Windows driver images on Linux and judges them.
//!
//! Start with [`Machine`]: it is what a host holds. [`Kernel`] is its inside, which kernel services, devices and the
//! closures given to [`Machine::run`] see. docs/nthost.md tells the whole story.

// A kernel: it maps code, switches stacks and handles faults.
#![allow(unsafe_code)]

mod call;
pub mod cpu;
pub mod export;
mod fault;
pub mod files;
pub mod guarded;
pub mod inf;
pub mod install;
pub mod io;
pub mod kernel;
mod kmdf;
pub mod loader;
mod machine;
pub mod memory;
mod ntoskrnl;
pub mod pci;
pub mod pnp;
pub mod random;
pub mod registry;
pub mod replay;
mod report;
pub mod rules;
pub mod stop;
pub mod trace;

pub use cpu::Device;
pub use kernel::Kernel;
pub use machine::{Builder, Machine};
pub use ntoskrnl::{AddedPages, CommonBuffer, DumpData, TraceEvent, Value};
pub use stop::Stop;
