//! Drivers that each make one mistake, and the twins that do not.
//!
//! A rule that was never seen to stop a driver proves nothing. So each rule of the hosted machine (`tests/nthost`) has
//! drivers here that break it: one file of `examples` each, compiled to an image of its own. The file holds exactly one
//! [`mistake!`], which is what the driver does wrong and what it should have done; built with the feature `clean` the
//! same file is the twin that does it right. `cargo xtask defects` builds both, `tests/nthost/tests/defects` loads
//! them, and docs/verifier-rules.md lists what was caught.
//!
//! | Shape | For | Made by |
//! |---|---|---|
//! | a service without devices | pool, locks, levels, timers, threads | [`service!`] |
//! | a WDM function driver | packets, device objects, DMA adapters, interrupts | [`function_driver!`], [`wdm`] |
//! | a KMDF function driver | the framework's objects and requests | [`framework_driver!`], [`framework`] |
//!
//! The kernel's functions are declared safe here, which they are not: a driver of this crate is wrong on purpose, the
//! machine is what judges it, and the mistake should be the only thing in a file that needs an explanation. Most of
//! them cannot be written down with crate `nt`: its guards, tokens and owners do not compile that way.
#![no_std]

extern crate wdk_panic;

pub mod dma;
pub mod framework;
pub mod kernel;
pub mod memory;
pub mod service;
pub mod wdm;

pub use core::ffi::c_void;
pub use core::ptr::{null, null_mut};

pub use kernel::*;
pub use memory::{Shared, allocate, load, store};
pub use wdk_sys::*;

/// Whether this is the twin without the mistake.
#[doc(hidden)]
pub const CLEAN: bool = cfg!(feature = "clean");

/// What the driver does wrong, and behind the arrow what is right.
#[macro_export]
macro_rules! mistake {
    ($wrong:expr => $right:expr) => {
        if $crate::CLEAN { $right } else { $wrong }
    };
}

/// Tells the linker the image's entry point, as its command line would.
#[doc(hidden)]
#[macro_export]
macro_rules! entry_point {
    ($argument:literal) => {
        #[used]
        // SAFETY: the linker reads arguments from this section and leaves it out of the image.
        #[unsafe(link_section = ".drectve")]
        static ENTRY_POINT: [u8; $argument.len()] = *$argument;
    };
}
