//! Drivers that we did not write, on the virtual engine, in virtual machines. `cargo xtask vm` sets up the laboratory
//! and runs this; the environment variable `NETDMA_VM_LAB` names the laboratory's folder.
//!
//! | Module | Story |
//! |---|---|
//! | `lab` | where QEMU, kernel and DPDK are; QEMU's command line |
//! | `initramfs` | the guest's files |
//! | `machine` | one run: server, QEMU, what the guest says, and an end in any case |
//! | `scenario` | what is run and what must come out of it |
//! | `linux`, `dpdk`, `qtest` | the scenarios |
//! | `report` | what a complete run writes into docs/evidence.md |
//!
//! A run is judged by what the guest positively said. A guest that never spoke, an exit status, an absent error prove
//! nothing. Only scenarios of every run record proofs of requirements, so that the record does not depend on how much
//! was run.
#![forbid(unsafe_code)]

mod dpdk;
mod initramfs;
mod lab;
mod linux;
mod machine;
mod qtest;
mod report;
mod scenario;

use std::{env, fs, path::PathBuf, process::ExitCode, time::Instant};

use lab::Lab;
use report::Held;
use scenario::{Scenario, Verdict};

/// How many of the seeded mistakes drivers of others must notice in a complete run.
const LEAST_NOTICED: usize = 4;

/// What the command line selects.
struct Selection {
    all: bool,
    word: Option<String>,
    /// Where the report of a run in which everything held goes.
    report: Option<PathBuf>,
}

impl Selection {
    fn parse() -> Result<Self, String> {
        let mut selection = Self { all: false, word: None, report: None };
        let mut words = env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--all" => selection.all = true,
                "--only" => selection.word = Some(words.next().ok_or("--only wants a word after it")?),
                "--report" => {
                    selection.report = Some(words.next().ok_or("--report wants a file after it")?.into());
                }
                _ => {
                    return Err(format!("unknown option {word}; known are: --all --only WORD --report FILE"));
                }
            }
        }
        Ok(selection)
    }

    /// Every scenario is run.
    fn is_complete(&self) -> bool {
        self.all && self.word.is_none()
    }

    fn takes(&self, scenario: &Scenario) -> bool {
        match &self.word {
            Some(word) => scenario.name.contains(word.as_str()),
            None => self.all || scenario.always,
        }
    }
}

fn main() -> ExitCode {
    let selection = match Selection::parse() {
        Ok(selection) => selection,
        Err(message) => {
            eprintln!("guests: {message}");
            return ExitCode::from(2);
        }
    };
    let lab = Lab::find();
    let scenarios = linux::scenarios().into_iter().chain(dpdk::scenarios()).chain(qtest::scenarios());
    let (mut held, mut failed, mut skipped) = (Vec::new(), 0, 0);
    for scenario in scenarios.filter(|scenario| selection.takes(scenario)) {
        let begun = Instant::now();
        let verdict = match &lab {
            Ok(lab) => scenario.run(lab),
            Err(why) => Verdict::Skipped(why.clone()),
        };
        let seconds = begun.elapsed().as_secs();
        let name = scenario.name;
        let (word, text) = match verdict {
            Verdict::Passed(text) => {
                held.push(Held { scenario, text: text.clone() });
                ("ok", text)
            }
            Verdict::Failed(text) => {
                failed += 1;
                ("FAILED", text)
            }
            Verdict::Skipped(text) => {
                skipped += 1;
                ("skipped", text)
            }
        };
        println!("vm: {:<34} {word:<8} {seconds:>3} s  {text}", name);
    }
    let versions = lab.map(|lab| lab.versions()).unwrap_or_default();
    println!("vm: with {versions}");
    if held.is_empty() && failed == 0 && skipped == 0 {
        println!("vm: no scenario has {} in its name", selection.word.as_deref().unwrap_or("nothing"));
    }
    if selection.is_complete() && failed == 0 && skipped == 0 {
        let noticed = report::mistakes_noticed(&held);
        println!("vm: drivers of others noticed {noticed} seeded mistakes of at least {LEAST_NOTICED}");
        failed += usize::from(noticed < LEAST_NOTICED);
    }
    let good = failed == 0 && skipped == 0 && !held.is_empty();
    if let Some(path) = selection.report.as_ref().filter(|_| good && selection.is_complete())
        && let Err(error) = fs::write(path, report::section(&versions, &held))
    {
        eprintln!("guests: {}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    // The form in which `cargo test` reports, so that the sum over all tests has these too.
    let outcome = if failed == 0 { "ok" } else { "FAILED" };
    let passed = held.len();
    println!(
        "test result: {outcome}. {passed} passed; {failed} failed; {skipped} ignored; 0 measured; 0 filtered out"
    );
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
