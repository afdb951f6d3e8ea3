//! The portable part of netdma.sys: registry, channel policy, rings, completion walk.
#![no_std]
#![forbid(unsafe_code)]
