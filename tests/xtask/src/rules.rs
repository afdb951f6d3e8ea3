//! `cargo xtask rules`: docs/verifier-rules.md from what the defect drivers were seen to do.
//!
//! The test that loads them (`tests/nthost/tests/defects`) writes the page itself, into the file that a variable names;
//! here it is asked for and compared with the committed one.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use crate::arguments::Arguments;
use crate::command::{Command, Failure};
use crate::{defects, generated, steps, workspace};

/// The command.
pub const COMMAND: Command = Command {
    name: "rules",
    usage: "[--check]",
    summary: "Write docs/verifier-rules.md, the rules of the hosted machine and the drivers that prove them.\n\n\
              Builds the defect drivers and loads each of them.\n\
              --check  write nothing; fail when the page is out of date",
    run,
};

/// The generated page.
const PAGE: &str = "docs/verifier-rules.md";

/// The variable that tells the test where to write what it saw.
pub const SEEN: &str = "NETDMA_RULES";

fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let arguments = Arguments::parse(words, &["--check"], &[])?;
    arguments.no_rest()?;
    defects::build()?;
    let seen = begin()?;
    let mut test = steps::cargo_test_command();
    test.args(["--package", "nthost", "--test", "defects", "each_defect"]).env(SEEN, &seen);
    steps::run("rules", &mut test, |_| {})?;
    if arguments.has("--check") { check() } else { generated::write(&workspace::root(), PAGE, &seen_page()?) }
}

/// Forgets what was seen before. Gives the value of [`SEEN`] for the tests that follow.
///
/// # Errors
/// The file cannot be removed, or its folder not be made.
pub fn begin() -> Result<PathBuf, Failure> {
    let path = workspace::target().join("verifier-rules.md");
    let failed = |error| Failure::usage(format!("{}: {error}", path.display()));
    fs::create_dir_all(workspace::target()).map_err(failed)?;
    if path.exists() {
        fs::remove_file(&path).map_err(failed)?;
    }
    Ok(path)
}

/// Fails when the committed page is not what the last tests saw.
///
/// # Errors
/// As said.
pub fn check() -> Result<(), Failure> {
    generated::check(&workspace::root(), PAGE, &seen_page()?, COMMAND.name)
}

fn seen_page() -> Result<String, Failure> {
    let path = workspace::target().join("verifier-rules.md");
    fs::read_to_string(&path).map_err(|error| {
        Failure::verdict(format!(
            "{}: {error}: the test that writes it failed or did not run",
            path.display()
        ))
    })
}
