//! A hosted NT machine: runs unmodified Windows driver images on Linux and judges them.

pub mod files;
pub mod inf;
pub mod install;
pub mod pci;
pub mod registry;
