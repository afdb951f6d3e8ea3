//! Child processes whose output matters only when they fail.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::command::Failure;
use crate::workspace;

/// A child that says nothing for so long hangs: the longest quiet stretch of a healthy one is a link of a minute.
const SILENCE: Duration = Duration::from_secs(600);

/// How many lines of a failed child's log are shown.
const SHOWN: usize = 60;

/// Runs `cargo` with `arguments`; see [`run`].
///
/// # Errors
/// As [`run`].
pub fn cargo<S: AsRef<OsStr>>(name: &str, arguments: &[S]) -> Result<(), Failure> {
    run(name, cargo_command().args(arguments), |_| {})
}

/// The cargo that runs this program, in the repository, forbidden to install toolchains on its own.
pub fn cargo_command() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace::root()).env("RUSTUP_AUTO_INSTALL", "0");
    command
}

/// `cargo test` with the profile that all tests are built with, so that no two steps build them differently.
pub fn cargo_test_command() -> Command {
    let mut command = cargo_command();
    command.args(["test", "--profile", "tests"]);
    command
}

/// Runs `command` with its output in a log under target/logs, shown only when it fails. `line` sees each line as
/// it comes. On a terminal the last line stands as progress until the next.
///
/// # Errors
/// The command cannot be started, fails, or says nothing for ten minutes; the message ends with the log's last
/// lines.
pub fn run(name: &str, command: &mut Command, line: impl FnMut(&str)) -> Result<(), Failure> {
    run_within(SILENCE, name, command, line)
}

/// As [`run`], for a child that may say nothing for `silence`: one that runs steps itself, and keeps their output.
///
/// # Errors
/// As there.
pub fn run_within(
    silence: Duration,
    name: &str,
    command: &mut Command,
    mut line: impl FnMut(&str),
) -> Result<(), Failure> {
    let path = log(name)?;
    let failed = |error: io::Error| Failure::usage(format!("{name}: {error}"));
    let mut file = File::create(&path).map_err(failed)?;
    let (reader, writer) = io::pipe().map_err(failed)?;
    let program = command.get_program().to_owned();
    // A group of its own, so that a hanging child goes with everything it started.
    command.process_group(0).stdin(Stdio::null()).stdout(writer.try_clone().map_err(failed)?).stderr(writer);
    let mut child = command.spawn().map_err(|error| {
        Failure::usage(format!("{} cannot be started: {error}", program.to_string_lossy()))
    })?;
    // The command holds the pipe's other end: give it back, or the reader never sees the end.
    command.stdout(Stdio::null()).stderr(Stdio::null());

    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(reader).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let progress = Progress::new(name);
    let hung = loop {
        match lines.recv_timeout(silence) {
            Ok(text) => {
                writeln!(file, "{text}").map_err(failed)?;
                progress.show(&text);
                line(&text);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break false,
            Err(mpsc::RecvTimeoutError::Timeout) => break true,
        }
    };
    progress.clear();
    if hung {
        end_group(child.id());
    }
    let status = child.wait().map_err(failed)?;
    if hung || !status.success() {
        let why =
            if hung { format!("said nothing for {silence:?} and was ended") } else { status.to_string() };
        let log = std::fs::read_to_string(&path).unwrap_or_default();
        return Err(Failure::verdict(format!(
            "{name}: {} {why}\n{}\n(whole output: {})",
            program.to_string_lossy(),
            tail(&log, SHOWN),
            path.display()
        )));
    }
    Ok(())
}

/// The log file for the step called `name`.
fn log(name: &str) -> Result<PathBuf, Failure> {
    let folder = workspace::target().join("logs");
    std::fs::create_dir_all(&folder)
        .map_err(|error| Failure::usage(format!("{}: {error}", folder.display())))?;
    Ok(folder.join(format!("{}.log", name.replace(' ', "-"))))
}

/// Ends the process group led by `leader`.
pub fn end_group(leader: u32) {
    // The shell's own `kill`: present wherever there is a shell. If it fails the wait that follows still ends
    // when the child does. Without `--`, which not every shell takes there.
    let _ = Command::new("sh").args(["-c", &format!("kill -9 -{leader}")]).status();
}

/// The last `lines` lines of `text`.
fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// The last line of a running child, on a terminal only.
struct Progress<'a> {
    name: &'a str,
    terminal: bool,
}

impl<'a> Progress<'a> {
    fn new(name: &'a str) -> Self {
        Self { name, terminal: io::stderr().is_terminal() }
    }

    fn show(&self, line: &str) {
        let line = line.trim();
        if self.terminal && !line.is_empty() {
            let short: String = line.chars().take(100).collect();
            eprint!("\r\x1b[K{}: {short}", self.name);
        }
    }

    fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn every_line_of_both_streams_is_seen() {
        let mut seen = Vec::new();
        run("test lines", &mut shell("echo a; echo b >&2; echo c"), |line| seen.push(line.to_owned()))
            .unwrap();
        assert_eq!(seen, ["a", "b", "c"]);
    }

    #[test]
    fn a_failure_carries_the_end_of_the_output() {
        let failure =
            run("test failure", &mut shell("echo why >&2; exit 3"), |_| {}).unwrap_err().to_string();
        assert!(failure.contains("why") && failure.contains("exit status: 3"), "{failure}");
    }

    #[test]
    fn a_group_ends_with_everything_that_its_leader_started() {
        let mut leader = shell("sleep 600 & echo started; wait");
        let mut leader = leader.process_group(0).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(leader.stdout.take().unwrap());
        output.read_line(&mut String::new()).unwrap();
        end_group(leader.id());
        // The pipe ends when nobody is left who could write to it.
        assert_eq!(output.read_line(&mut String::new()).unwrap(), 0);
        assert!(!leader.wait().unwrap().success());
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let failure =
            run("test missing", &mut Command::new("no-such-program"), |_| {}).unwrap_err().to_string();
        assert!(failure.contains("no-such-program"), "{failure}");
    }

    #[test]
    fn the_tail_is_the_last_lines() {
        assert_eq!(tail("a\nb\nc", 2), "b\nc");
        assert_eq!(tail("a", 2), "a");
    }
}
