//! The portable part of ioatdma.sys: channel state machine, bring-up, quirks and errors.
#![no_std]
#![forbid(unsafe_code)]
