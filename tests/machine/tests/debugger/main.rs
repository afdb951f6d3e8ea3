//! The debugger script docs/windbg/netdma.js on a hosted machine: Node runs the script, `host.js` is the debugger around
//! it, the target is the machine's memory with the images' own PDBs. What must come out is known from elsewhere: from
//! what the drivers answer to IOCTLs, from what the trace session heard, from what the test itself did.
//!
//! `NETDMA_NODE` names Node's program; without it the one in the path is taken. Without any, every test is skipped, and
//! the whole does not count as passed.
#![forbid(unsafe_code)]

mod damage;
mod session;
mod sound;
#[allow(dead_code, reason = "the visualizers' tests use the rest")]
mod symbols;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use machine::lab::Failure;

/// A test, by the sentence that it proves.
type Test = (&'static str, fn(&Path) -> Result<(), Failure>);

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1).filter(|word| !word.starts_with('-'));
    let node = node();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (name, test) in sound::TESTS.iter().chain(damage::TESTS) {
        if wanted.as_ref().is_some_and(|word| !name.contains(word.as_str())) {
            continue;
        }
        let Some(node) = &node else {
            skipped += 1;
            println!("test {name} ... ignored: this machine has no Node, see docs/debugging.md");
            continue;
        };
        match test(node) {
            Ok(()) => {
                passed += 1;
                println!("test {name} ... ok");
            }
            Err(failure) => {
                failed += 1;
                println!("test {name} ... FAILED\n{failure}");
            }
        }
    }
    let outcome = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "test result: {outcome}. {passed} passed; {failed} failed; {skipped} ignored; 0 measured; 0 filtered out"
    );
    if failed == 0 && skipped == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Node's program, if there is one that runs.
fn node() -> Option<PathBuf> {
    let named = std::env::var_os("NETDMA_NODE").map(PathBuf::from);
    named.into_iter().chain(["node".into(), "nodejs".into()]).find(|program| {
        Command::new(program).arg("--version").output().is_ok_and(|answer| answer.status.success())
    })
}
