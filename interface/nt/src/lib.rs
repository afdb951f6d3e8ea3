//! Safe kernel primitives for every .sys of this project: the one home of general unsafe code.
//!
//! Each module wraps one thing of the Windows kernel so that its rules cannot be broken from safe code:
//!
//! * **IRQL is a value** ([`irql`]). A function that may only be called at PASSIVE_LEVEL takes a `&Passive`; raising
//!   borrows that token exclusively, so nothing that needs PASSIVE_LEVEL can be written under a spin lock.
//! * **Locks own what they protect** ([`spin_lock`], [`mutex`]) and hand out guards.
//! * **Objects that the kernel links into its own lists never move** ([`dpc`], [`timer`], [`worker`], [`event`]): they
//!   live in nonpaged pool behind an owner, and the owner's `Drop` waits until the kernel has let go of them.
//! * **Memory can run out** ([`pool`]): every allocation returns a [`Result`].
//! * **What comes from a device or a caller is checked** ([`mmio`], [`mdl`], [`pci`]): offsets are bounded, sums are
//!   checked, walks end.
//!
//! Nothing here can panic: no indexing, no overflowing arithmetic, no `unwrap`.
//!
//! Types of the drivers' framework are in [`wdf`]. Names follow the kernel's own, without their prefixes.
#![no_std]
#![allow(unsafe_code, reason = "this crate is the one home of general unsafe code (unsafe-lives-in-nt)")]

pub mod bug_check;
pub mod dma;
pub mod dpc;
pub mod event;
pub mod irql;
pub mod lent;
pub mod mdl;
pub mod mmio;
pub mod mutex;
pub mod object;
pub mod page;
pub mod pci;
pub mod physical;
pub mod pool;
pub mod processor;
pub mod registry;
pub mod rundown;
pub mod spin_lock;
pub mod status;
pub mod string;
mod sync;
pub mod thread;
pub mod time;
pub mod timer;
pub mod trace;
pub mod wdf;
pub mod worker;

/// For the expressions of [`trace_provider!`] and [`wdf_driver_entry!`].
pub use netdma_events as events;
pub use status::{Result, Status};

/// The raw bindings, for the entry points of a .sys and for nothing else.
pub use wdk_sys as sys;
