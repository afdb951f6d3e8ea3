//! netdma.sys: the NetDMA interface driver.
#![no_std]
