//! `cargo xtask test`: everything that must hold, in one command.

use std::ffi::OsString;
use std::process::Command as Process;
use std::time::Instant;

use crate::arguments::Arguments;
use crate::command::{Command, Failure};
use crate::{
    bench, defects, docs, drivers, drivers_twice, events, node, package, requirements, rules, steps, vm,
};

/// The command.
pub const COMMAND: Command = Command {
    name: "test",
    usage: "",
    summary: "Run everything: formatting, lints, driver images, all tests, requirements, generated pages, cost.\n\n\
              Ends with `N passed, N failed, N skipped`; the exit code is 1 when a test or a step failed.",
    run,
};

/// What the tests said, added up over all test programs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

impl Tally {
    /// Adds what a line of `cargo test` says: `test result: ok. 5 passed; 0 failed; 1 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|line| line.split_once(". "))
        else {
            return;
        };
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else { continue };
            let Ok(number) = number.parse::<usize>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }
}

fn run(words: Vec<OsString>) -> Result<(), Failure> {
    Arguments::parse(words, &[], &[])?.no_rest()?;
    let begun = Instant::now();
    let mut tally = Tally::default();
    let mut failed = Vec::new();
    let mut tests = || test(&mut tally);
    #[expect(clippy::type_complexity, reason = "a table of names and actions, written once")]
    let steps: [(&str, &mut dyn FnMut() -> Result<(), Failure>); 12] = [
        ("formatting", &mut || steps::cargo("formatting", &["fmt", "--all", "--check"])),
        ("lints", &mut lint),
        ("driver images", &mut || drivers_twice::build_twice(&[])),
        ("packages", &mut package::check),
        ("driver lints", &mut drivers::check),
        ("defect drivers", &mut defects::build),
        ("tests", &mut tests),
        ("requirements", &mut requirements::check),
        ("events", &mut events::check),
        ("rules", &mut rules::check),
        ("documentation", &mut docs::check_all),
        ("cost", &mut bench::check),
    ];
    let count = steps.len();
    for (number, (name, step)) in steps.into_iter().enumerate() {
        let started = Instant::now();
        println!("[{}/{count}] {name}", number + 1);
        let outcome = step();
        let seconds = started.elapsed().as_secs_f32();
        match outcome {
            Ok(()) => println!("      ok, {seconds:.1} s"),
            Err(failure) => {
                println!("      FAILED, {seconds:.1} s\n{failure}\n");
                failed.push(name);
            }
        }
    }
    let minutes = begun.elapsed().as_secs_f32() / 60.0;
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
    }
    println!("{} of {count} steps held, {minutes:.1} min", count - failed.len());
    println!("{tally}");
    if failed.is_empty() { Ok(()) } else { Err(Failure::verdict(format!("{} failed", failed.join(", ")))) }
}

/// Clippy over everything that builds on any machine; the drivers have a step of their own.
fn lint() -> Result<(), Failure> {
    steps::cargo("lints", &["clippy", "--all-targets", "--", "--deny", "warnings"])
}

/// Every test of every crate that builds on any machine, with the proofs they record.
fn test(tally: &mut Tally) -> Result<(), Failure> {
    let proofs = requirements::begin()?;
    let mut portable = steps::cargo_test_command();
    portable.arg("--no-fail-fast").env(proof::FOLDER, &proofs).env(rules::SEEN, rules::begin()?);
    let outcome = cargo_test("tests", &mut portable, tally);
    // The driver crates' own unit tests run here too, over the stand-ins of the WDK.
    let mut drivers = steps::cargo_command();
    drivers.args(["test", "--no-fail-fast", "--package", "nt"]).env(proof::FOLDER, &proofs);
    drivers::with_standins(&mut drivers)?;
    let outcome = outcome.and(cargo_test("driver tests", &mut drivers, tally));
    // And the stand-ins themselves, against other sources for what they claim.
    let outcome = outcome.and(cargo_test("stand-in tests", &mut drivers::of_standins("test"), tally));
    // And the debugger script, which wants Node.
    let outcome = outcome.and(cargo_test("debugger script", &mut node::debugger_tests(), tally));
    // And drivers that we did not write, on the virtual engine.
    let outcome = outcome.and_then(|()| {
        let mut guests = vm::every_run()?;
        cargo_test("virtual machines", guests.env(proof::FOLDER, &proofs), tally)
    });
    // A test program that crashes reports no result: cargo's own verdict then says so.
    outcome?;
    if tally.passed == 0 {
        return Err(Failure::verdict("no test was run"));
    }
    requirements::end(&proofs)
}

/// Runs tests and adds their results up, with a line for each program that has some.
fn cargo_test(name: &str, command: &mut Process, tally: &mut Tally) -> Result<(), Failure> {
    let mut program = String::new();
    steps::run(name, command, |line| {
        if let Some(next) = line.trim_start().strip_prefix("Running ") {
            next.clone_into(&mut program);
        }
        if let Some(test) = line.strip_prefix("test ").and_then(|line| line.strip_suffix(" ... FAILED")) {
            println!("      FAILED {test} in {program}");
        }
        if line.starts_with("test result: ") {
            let before = *tally;
            tally.add(line);
            let ran = tally.passed - before.passed + tally.failed - before.failed;
            if ran > 0 {
                println!("      {:>4} in {program}", ran);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_programs_add_up() {
        let mut tally = Tally::default();
        for line in [
            "running 6 tests",
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s",
            "test a::b ... FAILED",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.2s",
        ] {
            tally.add(line);
        }
        assert_eq!(tally, Tally { passed: 6, failed: 2, skipped: 1 });
        assert_eq!(tally.to_string(), "6 passed, 2 failed, 1 skipped");
    }
}
