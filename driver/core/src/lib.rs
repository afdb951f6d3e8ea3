//! The portable part of ioatdma.sys: what to tell Intel's I/OAT engine, when, and what its answers mean.
//!
//! Nothing here knows Windows. The machine is three traits ([`Registers`], [`PciConfig`], [`Clock`]); the driver
//! puts a mapped BAR behind them, a test puts the engine model or a script there.
//!
//! Read in this order:
//!
//! | Module | What it holds |
//! |---|---|
//! | [`hardware`] | the three traits, and bounded waiting |
//! | [`identity`] | which engine this is: before its registers can be read, and after |
//! | [`settings`] | what an administrator may change |
//! | [`state`] | the states of a channel and the answer to every command in every state |
//! | [`channel`] | one channel: start, append, suspend, resume, abort, reset |
//! | [`bring_up`] | from an unknown state to a programmed channel, and back to a quiet one |
//! | [`service`] | interrupts: whose they are, what they report, how they are re-armed |
//! | [`self_test`] | a copy that proves a channel before a client gets it |
//! | [`block`] | the registers of one channel, with their types and widths |
//!
//! Device data is untrusted: a register that reads all-ones ends in [`Refusal::Gone`], every wait has an end, and
//! no value from the engine is an index.
//!
//! H, M and § refer to docs/spec/ioat.md, R and Q to docs/spec/netdma.md, D to docs/architecture.md.
#![no_std]
#![forbid(unsafe_code)]

pub mod block;
pub mod bring_up;
pub mod channel;
pub mod hardware;
pub mod identity;
pub mod self_test;
pub mod service;
pub mod settings;
pub mod state;

pub use bring_up::{BringUpError, Trouble};
pub use channel::{Channel, Outcome};
pub use hardware::{Clock, Hardware, Patience, PciConfig, Registers};
pub use identity::{Engine, Identity, IdentityError, ProbeError};
pub use service::{InterruptKind, Report};
pub use state::{Refusal, State};
