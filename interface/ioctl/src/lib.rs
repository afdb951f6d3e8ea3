//! Control codes and buffers that user mode exchanges with the drivers.
#![no_std]
#![forbid(unsafe_code)]
