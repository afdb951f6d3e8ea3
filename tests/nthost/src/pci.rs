//! The PCI side of the machine: what a function is, the bus that finds it, and the configuration space it shows.

pub(crate) mod bus;
pub mod config;
mod function;
pub(crate) mod interrupt;
pub mod requirements;

pub use bus::{Location, Traffic};
pub use function::{BusFault, BusMaster, PciFunction, Progress};
