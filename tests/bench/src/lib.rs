//! The hot paths, as `benches/cost.rs` has them counted under callgrind. `cargo xtask bench` runs it.
//!
//! | Module | Path |
//! |---|---|
//! | [`client`] | client call, ring, entry point, register write, completion word, walk, callback |
//! | [`engine`] | the engine model: fetch, next pointer, copy, completion word |
//!
//! Each is a type that is made and warmed up uncounted, and a function that does a number of descriptors.
#![forbid(unsafe_code)]

pub mod client;
pub mod engine;
#[path = "../../../interface/core/tests/support/memory.rs"]
mod memory;
