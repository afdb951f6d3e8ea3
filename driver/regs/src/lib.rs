//! Intel I/OAT (QuickData Technology) as facts: registers, descriptors, errors and devices.
//!
//! There is no behaviour here. The driver (ioat-core) and the engine model (ioat-model) both stand on this
//! crate, so the two can disagree about what the engine *does* but never about where a register *is*.
//!
//! Read in this order:
//!
//! | Module | What it holds |
//! |---|---|
//! | [`device`] | the one table of engines: PCI ids, versions, channels, interrupts, quirks |
//! | [`general`] | registers at the start of BAR0, one set per PCI function |
//! | [`channel`] | the register block of one channel, in its two layouts (hardware 1.x, and 2.0 and later) |
//! | [`descriptor`] | the 64-byte descriptor that software writes and the engine reads |
//! | [`error`] | the bits of CHANERR by name |
//! | [`config`] | PCI configuration space beyond the standard header |
//! | [`limits`] | sizes and times that no engine exceeds |
//!
//! Where a fact comes from is written beside it: `§` names a section of docs/spec/ioat.md, which in turn names
//! the driver, datasheet or observation behind it; M and H are that page's requirements.
#![no_std]
#![forbid(unsafe_code)]

pub mod channel;
pub mod config;
pub mod descriptor;
pub mod device;
pub mod error;
pub mod general;
pub mod limits;

pub use channel::{ChanCmd, ChanCtrl, ChanSts, ChannelMap, State};
pub use descriptor::{Control, Opcode};
pub use device::{Device, Platform, Quirks, Version};
pub use error::ChanErr;
pub use general::{Capability, IntrCtrl, IntrDelay};
