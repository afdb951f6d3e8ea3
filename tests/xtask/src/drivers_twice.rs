//! `cargo xtask drivers --twice`: the same sources give the same bytes, in whatever folder they lie.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::command::Failure;
use crate::{drivers, steps, workspace};

/// The whole second build, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(3600);

/// As [`drivers::build`], and once more in another folder, from nothing of ours: the second build gives the same bytes.
///
/// # Errors
/// As there, or a file differs.
pub fn build_twice(only: &[String]) -> Result<(), Failure> {
    drivers::build(only)?;
    let elsewhere = copy_of_the_sources()?;
    forget_our_crates(&elsewhere.join("target/driver-build"))?;
    let mut cargo = steps::cargo_command();
    cargo.current_dir(&elsewhere).env_remove("CARGO_TARGET_DIR");
    // The developer commands have the top folder built in, so they are built there, too.
    cargo.args(["run", "--quiet", "--profile", "host", "--package", "xtask", "--", "drivers"]);
    only.iter().for_each(|name| {
        cargo.args(["--package", name]);
    });
    steps::run_within(PATIENCE, "driver images elsewhere", &mut cargo, |_| {})?;

    let (first, second) =
        (contents(&drivers::images(), only)?, contents(&elsewhere.join("target/drivers"), only)?);
    if first.len() != second.len() {
        return Err(Failure::verdict(format!(
            "{} files were built here, {} in {}",
            first.len(),
            second.len(),
            elsewhere.display()
        )));
    }
    match first.iter().zip(&second).find(|(here, there)| here != there) {
        None => Ok(()),
        Some(((name, _), _)) => Err(Failure::verdict(format!(
            "{} is different when it is built in {}: `cmp` tells where",
            name.display(),
            elsewhere.display()
        ))),
    }
}

/// Every file of the images in `folder`, by name, with its bytes.
fn contents(folder: &Path, only: &[String]) -> Result<Vec<(PathBuf, Vec<u8>)>, Failure> {
    let mut files = Vec::new();
    for name in drivers::images_of(only) {
        for entry in entries(&folder.join(name))? {
            let bytes = fs::read(&entry).map_err(failed(&entry))?;
            files.push((entry.strip_prefix(folder).unwrap_or(&entry).to_owned(), bytes));
        }
    }
    Ok(files)
}

/// Copies the sources to a folder of another name, depth and length under `target`. What was built there before stays.
fn copy_of_the_sources() -> Result<PathBuf, Failure> {
    let elsewhere = workspace::root().join("target/elsewhere/a copy of the sources");
    fs::create_dir_all(&elsewhere).map_err(failed(&elsewhere))?;
    for old in entries(&elsewhere)?.into_iter().filter(|old| !old.ends_with("target")) {
        let removed = if old.is_dir() { fs::remove_dir_all(&old) } else { fs::remove_file(&old) };
        removed.map_err(failed(&old))?;
    }
    copy(&workspace::root(), &elsewhere)?;
    Ok(elsewhere)
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    for source in entries(from)? {
        let Some(name) = source.file_name() else { continue };
        if name == "target" || name == ".git" {
            continue;
        }
        let destination = to.join(name);
        if source.is_dir() {
            fs::create_dir_all(&destination).map_err(failed(&destination))?;
            copy(&source, &destination)?;
        } else {
            fs::copy(&source, &destination).map_err(failed(&source))?;
        }
    }
    Ok(())
}

/// Makes cargo build every crate of this workspace anew, not those of others.
fn forget_our_crates(build_folder: &Path) -> Result<(), Failure> {
    const OURS: [&str; 8] =
        ["ioat-core-", "ioat-regs-", "ioatdma-", "netdma", "nt-", "wdk-build-", "wdk-panic-", "wdk-sys-"];
    for host_or_target in [format!("{}/release", crate::toolchain::TARGET), "release".to_owned()] {
        let folder = build_folder.join(host_or_target).join(".fingerprint");
        if !folder.is_dir() {
            continue;
        }
        for entry in entries(&folder)? {
            let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if OURS.iter().any(|ours| name.starts_with(ours)) {
                fs::remove_dir_all(&entry).map_err(failed(&entry))?;
            }
        }
    }
    Ok(())
}

/// What is in a folder, in the order of the names.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(folder).map_err(failed(folder))?.flatten().map(|entry| entry.path()).collect();
    found.sort();
    Ok(found)
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    let path = path.display().to_string();
    move |error| Failure::usage(format!("{path}: {error}"))
}
