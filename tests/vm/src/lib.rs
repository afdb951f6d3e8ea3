//! The engine model as a vfio-user PCI function, for QEMU guests and any other vfio-user client.
//!
//! docs/virtual-engine.md says how to use the program `ioat-vfio`. The parts:
//!
//! | Module | Story |
//! |---|---|
//! | [`protocol`] | the messages, byte for byte; nothing that a client sends is trusted |
//! | [`memory`] | the client's memory, mapped from the files it passes |
//! | [`function`] | one engine with its memory and interrupts: what each message does |
//! | [`server`] | sockets: clients come, send messages, and leave or vanish |
#![forbid(unsafe_code)]

pub mod function;
pub mod memory;
pub mod protocol;
pub mod server;
