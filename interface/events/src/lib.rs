//! The one table of event and state names that traces, history and debugger share.
#![no_std]
#![forbid(unsafe_code)]
