//! netdma.sys: the NetDMA interface driver.
//!
//! An export driver (D1 of docs/architecture.md). Providers and clients come to it by import; it creates no device, calls
//! nothing of KMDF, and works from the first call on, whichever of its entry points the system has called before, if any:
//! all state is const-initialised.
//!
//! | Module | Holds |
//! |---|---|
//! | [`entry`] | DriverEntry, DllInitialize, DllUnload |
//! | [`exports`] | the C functions: check, make an IRQL token, call the module that knows |
//! | [`provider`] | registration, start, stop, power |
//! | [`client`] | registration, notices, enumeration |
//! | [`channel`] | allocation, submission, completion, control, retirement |
//! | [`drain`] | waiting for outstanding work, with a limit |
//! | [`foreign`] | the calls into foreign code: a provider's entry points, a client's callbacks |
//! | [`gate`] | exclusive claims that are no locks |
//! | [`memory`] | rings in common buffers |
//! | [`trace`] | events |
//!
//! docs/netdma.md tells states, locks and their order.
#![no_std]
#![debugger_visualizer(natvis_file = "../netdma.natvis")]

extern crate wdk_panic;

mod channel;
mod client;
mod drain;
mod entry;
mod exports;
mod foreign;
mod gate;
mod memory;
mod provider;
mod trace;
