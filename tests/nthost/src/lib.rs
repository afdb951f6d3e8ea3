//! A hosted NT machine: runs unmodified Windows driver images on Linux and judges them.

pub mod pci;
