//! `cargo xtask demo`: builds the drivers and the demonstration, and becomes it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process;

use crate::command::{Command, Failure};
use crate::{drivers, steps, workspace};

/// The command. Its help text is the demonstration's own.
pub const COMMAND: Command = Command {
    name: "demo",
    usage: "[OPTION]... [FILE|FOLDER]...",
    summary: include_str!("../../machine/src/demo/help.txt"),
    run,
};

fn run(words: Vec<OsString>) -> Result<(), Failure> {
    become_program("demo", words)
}

/// Builds the drivers and a program of the crate `machine`, which then takes this process over: its output and its exit
/// code are the answer.
///
/// # Errors
/// Something does not build, or the program cannot be started.
pub fn become_program(name: &str, words: Vec<OsString>) -> Result<(), Failure> {
    drivers::build(&[])?;
    steps::cargo(name, &["build", "--profile", "host", "--package", "machine", "--bin", name])?;
    let program = workspace::target().join("host").join(name);
    let error = process::Command::new(&program).args(words).exec();
    Err(Failure::usage(format!("{}: {error}", program.display())))
}
