//! The demonstration: real files through client, interface, provider and engine, verified and reported.
//!
//! [`options`] reads the command line, [`corpus`] finds the files, [`pieces`](netdmactl::pieces) decides where their bytes lie in the
//! machine's scattered buffers and checks what came back, [`report`] is what a person reads in the end.

pub mod corpus;
pub mod options;
pub mod progress;
pub mod report;
pub mod run;
