//! Intel I/OAT registers, descriptor bits, device table and error names. No behaviour.
#![no_std]
#![forbid(unsafe_code)]
