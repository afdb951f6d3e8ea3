//! The PCI side of the machine: what a function is, the bus that finds it, and the configuration space it shows.

mod function;

pub use function::{BusFault, BusMaster, PciFunction, Progress};
