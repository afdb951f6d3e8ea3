//! The NetDMA DDI: C layouts, constants and signatures of provider and client interface.
#![no_std]
#![forbid(unsafe_code)]
