//! `cargo xtask defects`: builds the drivers with one mistake each, and their twins without it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::arguments::Arguments;
use crate::command::{Command, Failure};
use crate::toolchain::TARGET;
use crate::{drivers, steps, workspace};

/// The command.
pub const COMMAND: Command = Command {
    name: "defects",
    usage: "",
    summary: "Build the defect drivers and their clean twins into target/defects.\n\n\
              Each source in tests/defects/examples becomes target/defects/wrong/NAME.sys and target/defects/clean/NAME.sys,\n\
              each with its .pdb. The tests of the hosted machine's rules load them.",
    run,
};

/// The package whose examples they are, and the profile that builds them.
const PACKAGE: &str = "defects";

/// The twins: a folder below target/defects, and what cargo is told to build them.
const TWINS: [(&str, &[&str]); 2] = [("wrong", &[]), ("clean", &["--features", "clean"])];

fn run(words: Vec<OsString>) -> Result<(), Failure> {
    Arguments::parse(words, &[], &[])?.no_rest()?;
    build()?;
    let images = workspace::root().join("target/defects");
    println!("{} drivers and as many twins in {}", sources()?.len(), images.display());
    Ok(())
}

/// Builds all of them. Files whose content does not change are not touched.
///
/// # Errors
/// What is needed is missing, or a driver does not compile.
pub fn build() -> Result<(), Failure> {
    let names = sources()?;
    for (twin, features) in TWINS {
        let mut cargo = drivers::for_windows("build", PACKAGE)?;
        // Without this cargo gives programs for Windows no hash in their file names, and one twin would overwrite the
        // other before the next run could see that nothing changed.
        cargo.env("__CARGO_DEFAULT_LIB_METADATA", "defects");
        cargo.args(["--package", PACKAGE, "--examples"]).args(features);
        steps::run(&format!("defect drivers {twin}"), &mut cargo, |_| {})?;
        let folder = workspace::root().join("target/defects").join(twin);
        let built = drivers::build_folder().join(TARGET).join(PACKAGE).join("examples");
        for name in &names {
            collect(&built, &folder, name)?;
        }
        forget_others(&folder, &names)?;
    }
    Ok(())
}

/// Lints them and their twins; a warning is an error.
///
/// # Errors
/// As [`build`], or a lint finds something.
pub fn check() -> Result<(), Failure> {
    for (twin, features) in TWINS {
        let mut cargo = drivers::for_windows("clippy", PACKAGE)?;
        cargo.args(["--package", PACKAGE, "--lib", "--examples"]).args(features);
        cargo.args(["--", "--deny", "warnings"]);
        steps::run(&format!("defect lints {twin}"), &mut cargo, |_| {})?;
    }
    Ok(())
}

/// The drivers' names: those of their sources.
fn sources() -> Result<Vec<String>, Failure> {
    let folder = workspace::root().join("tests/defects/examples");
    let entries =
        fs::read_dir(&folder).map_err(|error| Failure::usage(format!("{}: {error}", folder.display())))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".rs")?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// Copies image and symbols of one driver.
fn collect(built: &Path, folder: &Path, name: &str) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| Failure::usage(format!("{}: {error}", folder.display())))?;
    for (from, to) in [("exe", "sys"), ("pdb", "pdb")] {
        let source = built.join(format!("{name}.{from}"));
        let bytes =
            fs::read(&source).map_err(|error| Failure::usage(format!("{}: {error}", source.display())))?;
        drivers::write_if_changed(&folder.join(format!("{name}.{to}")), &bytes)?;
    }
    Ok(())
}

/// Removes what was built from sources that are no more.
fn forget_others(folder: &Path, names: &[String]) -> Result<(), Failure> {
    let failed = |path: &PathBuf, error| Failure::usage(format!("{}: {error}", path.display()));
    let folder = folder.to_owned();
    for entry in fs::read_dir(&folder).map_err(|error| failed(&folder, error))?.flatten() {
        let path = entry.path();
        let known = path.file_stem().is_some_and(|stem| names.iter().any(|name| stem == name.as_str()));
        if !known {
            fs::remove_file(&path).map_err(|error| failed(&path, error))?;
        }
    }
    Ok(())
}
