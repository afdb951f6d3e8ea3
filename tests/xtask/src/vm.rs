//! `cargo xtask vm`: drivers that we did not write, on the virtual engine, in a virtual machine.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command as Process;

use crate::arguments::Arguments;
use crate::command::{Command, Failure};
use crate::vm_lab::{self, Parts};
use crate::{generated, steps, workspace};

/// The command.
pub const COMMAND: Command = Command {
    name: "vm",
    usage: "[--all] [--only WORD] [--install] [--refresh]",
    summary: "Run Linux' ioatdma and dmatest, and DPDK, on the virtual engine in QEMU.\n\n\
              Without options: no-guest checks, one boot that must pass and one broken engine that must be caught.\n\
              --all         every scenario (some forty boots); when all hold, docs/evidence.md gets their figures\n\
              --only WORD   only the scenarios whose name has WORD in it\n\
              --install     set up the laboratory and end\n\
              --refresh     look for newer packages even if a laboratory is there\n\n\
              QEMU, kernel and DPDK come as Debian packages into the cache folder; nothing is installed on the\n\
              machine. What cannot be run is reported as skipped, with the reason.",
    run,
};

/// The page with the figures, and their section in it.
const PAGE: &str = "docs/evidence.md";
const SECTION: &str = "drivers of others";

fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let arguments = Arguments::parse(words, &["--all", "--install", "--refresh"], &["--only"])?;
    arguments.no_rest()?;
    let everything = arguments.has("--all") || arguments.value("--only").is_some();
    let parts = if everything { Parts::All } else { Parts::Linux };
    let lab = vm_lab::prepare(parts, arguments.has("--refresh"))?;
    if arguments.has("--install") {
        println!("the laboratory is in {}", lab.display());
        return Ok(());
    }
    let mut guests = guests(&lab);
    let report = workspace::target().join("vm-report.md");
    let _ = fs::remove_file(&report);
    guests.arg("--report").arg(&report);
    if arguments.has("--all") {
        guests.arg("--all");
    }
    if let Some(word) = arguments.value("--only") {
        guests.arg("--only").arg(word);
    }
    steps::run("vm", &mut guests, |line| {
        if let Some(line) = line.strip_prefix("vm: ") {
            println!("      {line}");
        }
    })?;
    // Written only by a run of every scenario in which each held.
    let Ok(text) = fs::read_to_string(&report) else { return Ok(()) };
    let root = workspace::root();
    let page =
        fs::read_to_string(root.join(PAGE)).map_err(|error| Failure::usage(format!("{PAGE}: {error}")))?;
    generated::write(&root, PAGE, &generated::with_section(&page, COMMAND.name, SECTION, &text)?)
}

/// The scenarios of every test run, as a test program to be started; sets the laboratory up if there is none.
///
/// # Errors
/// The laboratory cannot be set up.
pub fn every_run() -> Result<Process, Failure> {
    Ok(guests(&vm_lab::prepare(Parts::Linux, false)?))
}

/// The program that boots the guests.
fn guests(lab: &Path) -> Process {
    let mut command = steps::cargo_test_command();
    command.args(["--package", "ioat-vfio", "--test", "guests", "--"]).env("NETDMA_VM_LAB", lab);
    command
}
