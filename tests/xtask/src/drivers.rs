//! `cargo xtask drivers`: builds the driver images on a machine without Windows.

use std::ffi::OsString;

use crate::arguments::Arguments;
use crate::command::{Command, Failure};

/// The command.
pub const COMMAND: Command = Command {
    name: "drivers",
    usage: "[--package NAME]...",
    summary: "Build netdma.sys, ioatdma.sys and netdmatest.sys into target/drivers.",
    run,
};

fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let arguments = Arguments::parse(words, &[], &["--package"])?;
    arguments.no_rest()?;
    Err(Failure::usage("not built yet"))
}
