//! The portable part of `netdma.sys`: everything that needs no kernel.
//!
//! | Module | Story |
//! |---|---|
//! | [`handle`] | handles are values with a generation, and tables that check them without a lock |
//! | [`registration`] | what a provider must bring to be registered and started |
//! | [`provider`] | the states of a provider, and the entry points as a trait |
//! | [`policy`] | which provider and which processor a channel gets |
//! | [`memory`] | descriptor slots, ring pages, completion word: the seam to DMA memory |
//! | [`transfer`] | two scatter lists become the fewest descriptors |
//! | [`ring`] | positions, slots, and the way from an address back to a position |
//! | [`channel`] | a client's channel: submit, post, complete, control |
//! | [`delivery`] | completions leave the lock in order, exactly once |
//! | [`progress`] | how far a channel is, for a poll that takes no lock |
//! | [`statistics`] | counters |
//! | [`sync`] | the atomics, which tests can exchange |
//!
//! Two rules shape it. What a device or client wrote is checked before it is used (device-data-is-untrusted,
//! client-data-is-untrusted), and nothing here can panic (no-panic-path): slots are reached by `get`, positions move by
//! wrapping arithmetic. There is no allocation; memory and locks come from the caller.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(small_pages)]
extern crate alloc;

pub mod channel;
pub mod delivery;
pub mod handle;
pub mod memory;
pub mod policy;
pub mod progress;
pub mod provider;
pub mod registration;
pub mod ring;
pub mod statistics;
pub mod sync;
pub mod transfer;
