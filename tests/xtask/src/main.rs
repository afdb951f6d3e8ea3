//! Developer commands. `cargo xtask help` lists them.
//!
//! One file per command: it declares a [`Command`] and this table names it.

#![forbid(unsafe_code)]

mod arguments;
mod bench;
mod bench_rates;
mod bench_stages;
mod cache;
mod command;
mod ctl;
mod debian;
mod defects;
mod demo;
mod docs;
mod docs_items;
mod docs_page;
mod docs_sources;
mod drivers;
mod drivers_inf;
mod drivers_twice;
mod events;
mod generated;
mod node;
mod package;
mod package_catalog;
mod picture;
mod requirements;
mod requirements_excluded;
mod rules;
mod specification;
mod steps;
mod suite;
mod toolchain;
mod toolchain_debian;
mod valgrind;
mod vm;
mod vm_lab;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use command::{Command, Failure};

/// Every command, in the order `help` shows them.
const COMMANDS: &[Command] = &[
    demo::COMMAND,
    ctl::COMMAND,
    suite::COMMAND,
    drivers::COMMAND,
    drivers::CHECK,
    defects::COMMAND,
    package::COMMAND,
    requirements::COMMAND,
    events::COMMAND,
    picture::COMMAND,
    rules::COMMAND,
    docs::COMMAND,
    bench::COMMAND,
    vm::COMMAND,
];

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let name = if arguments.is_empty() { OsString::from("help") } else { arguments.remove(0) };
    let outcome = match name.to_str() {
        Some("help" | "--help" | "-h") => {
            print!("{}", help());
            Ok(())
        }
        _ => run(&name, arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.exit_code()
        }
    }
}

/// Runs the command called `name`; `--help` anywhere in front of a `--` shows its usage instead.
fn run(name: &OsString, arguments: Vec<OsString>) -> Result<(), Failure> {
    let command = COMMANDS.iter().find(|command| name == command.name).ok_or_else(|| {
        Failure::usage(format!("there is no command {name:?}; `cargo xtask help` lists them"))
    })?;
    if arguments.iter().take_while(|word| *word != "--").any(|word| word == "--help" || word == "-h") {
        println!("cargo xtask {} {}\n\n{}", command.name, command.usage, command.summary);
        return Ok(());
    }
    (command.run)(arguments)
}

/// The text of `cargo xtask help`.
fn help() -> String {
    let mut text = String::from("cargo xtask COMMAND\n\n");
    for command in COMMANDS {
        let summary = command.summary.lines().next().unwrap_or_default();
        text.push_str(&format!("  {:<14}{summary}\n", command.name));
    }
    text.push_str("\n`cargo xtask COMMAND --help` tells what each takes.\n");
    text
}
