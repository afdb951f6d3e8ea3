//! ioatdma.sys called directly: the functions of netdma.sys that it imports are this program's, so that each entry point can
//! be called as the contract allows, and what the driver tells the interface is seen as it tells it.
#![forbid(unsafe_code)]

mod allocation;
mod bench;
mod control;
mod life;
#[path = "../provider/mod.rs"]
mod provider;
mod transfer;
