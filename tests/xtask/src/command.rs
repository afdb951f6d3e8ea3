//! What a command is, and how it fails.

use std::ffi::OsString;
use std::fmt;
use std::process::ExitCode;

/// One developer command.
pub struct Command {
    /// The word after `cargo xtask`.
    pub name: &'static str,
    /// What may follow it, in one line.
    pub usage: &'static str,
    /// What it does. The first line stands in `cargo xtask help`.
    pub summary: &'static str,
    /// Runs it with the words that follow its name.
    pub run: fn(Vec<OsString>) -> Result<(), Failure>,
}

/// Why a command ended without success: one message that names the input and the remedy.
#[derive(Debug)]
pub struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// The command did its work and the answer is no: a test failed, a fault was found. Exit code 1.
    pub fn verdict(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    /// The command could not do its work as asked: unknown option, unreadable file, no space, a tool is
    /// missing. Exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2 }
    }

    /// The exit code of the process.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
