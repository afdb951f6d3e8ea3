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
mod scenario;

use std::{env, process::ExitCode, time::Instant};

use lab::Lab;
use scenario::{Scenario, Verdict};

/// What the command line selects.
struct Selection {
    all: bool,
    word: Option<String>,
}

impl Selection {
    fn parse() -> Result<Self, String> {
        let mut selection = Self { all: false, word: None };
        let mut words = env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--all" => selection.all = true,
                "--only" => selection.word = Some(words.next().ok_or("--only wants a word after it")?),
                _ => return Err(format!("unknown option {word}; known are: --all --only WORD")),
            }
        }
        Ok(selection)
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
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for scenario in scenarios.filter(|scenario| selection.takes(scenario)) {
        let begun = Instant::now();
        let verdict = match &lab {
            Ok(lab) => scenario.run(lab),
            Err(why) => Verdict::Skipped(why.clone()),
        };
        let seconds = begun.elapsed().as_secs();
        let (word, text) = match verdict {
            Verdict::Passed(text) => {
                passed += 1;
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
        println!("vm: {:<34} {word:<8} {seconds:>3} s  {text}", scenario.name);
    }
    if let Ok(lab) = &lab {
        println!("vm: with {}", lab.versions());
    }
    // The form in which `cargo test` reports, so that the sum over all tests has these too.
    let outcome = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "test result: {outcome}. {passed} passed; {failed} failed; {skipped} ignored; 0 measured; 0 filtered out"
    );
    if failed == 0 && skipped == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
