//! `cargo xtask ctl`: netdmactl on a hosted machine.

use crate::command::Command;
use crate::demo::become_program;

/// The command. Its help text is the program's own.
pub const COMMAND: Command = Command {
    name: "ctl",
    usage: "[OPTION]... COMMAND [ARGUMENT]...",
    summary: include_str!("../../machine/src/hosted/help.txt"),
    run: |words| become_program("ctl", words),
};
