//! What counts instructions: valgrind, and the runner that starts it for each case of tests/bench.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::Failure;
use crate::debian::Apt;
use crate::{cache, steps, workspace};

/// Both programs, ready to run.
pub struct Tools {
    /// `gungraun-runner`, of the version of crate `gungraun`.
    pub runner: PathBuf,
    /// `valgrind`.
    pub valgrind: PathBuf,
    /// Both versions, for people.
    pub versions: String,
}

/// Finds the tools or sets them up in the cache folder.
///
/// # Errors
/// One of them is not there and cannot be had; the message says what to install.
pub fn prepare() -> Result<Tools, Failure> {
    let _lock = cache::lock()?;
    let version = locked_version()?;
    let runner = runner(&version)?;
    let (valgrind, its_version) = valgrind()?;
    Ok(Tools { runner, valgrind, versions: format!("{its_version}, gungraun {version}") })
}

/// The version of gungraun in Cargo.lock: library and runner must be the same.
fn locked_version() -> Result<String, Failure> {
    let path = workspace::root().join("Cargo.lock");
    let lock =
        fs::read_to_string(&path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    lock.split_once("name = \"gungraun\"\nversion = \"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(version, _)| version.to_owned())
        .ok_or_else(|| Failure::usage("Cargo.lock has no gungraun"))
}

fn runner(version: &str) -> Result<PathBuf, Failure> {
    let folder = cache::folder()?.join(format!("gungraun-runner-{version}"));
    let program = folder.join("bin/gungraun-runner");
    if !program.is_file() {
        eprintln!("building gungraun-runner {version}");
        let version = format!("={version}");
        let mut install = steps::cargo_command();
        install
            .args(["install", "--locked", "gungraun-runner", "--version", &version, "--root"])
            .arg(&folder);
        steps::run("gungraun runner", &mut install, |_| {})?;
    }
    Ok(program)
}

/// The machine's valgrind, else one from its Debian release, and its version.
fn valgrind() -> Result<(PathBuf, String), Failure> {
    let installed = PathBuf::from("valgrind");
    if let Some(version) = version(&installed) {
        return Ok((installed, version));
    }
    let folder = cache::folder()?.join("valgrind");
    let program = folder.join("valgrind");
    if !program.is_file() {
        fetch(&folder)
            .map_err(|failure| Failure::usage(format!("{failure}; or install valgrind and try again")))?;
    }
    match version(&program) {
        Some(version) => Ok((program, version)),
        None => Err(Failure::usage(format!(
            "{} does not run on this machine; delete {} and install valgrind",
            program.display(),
            folder.display()
        ))),
    }
}

fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Unpacks Debian's valgrind and writes a script that tells it where its parts are.
fn fetch(folder: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("{}: {error}", folder.display()));
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    // Its own release, since valgrind runs with the machine's C library.
    let suite = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .ok_or_else(|| Failure::usage("valgrind is missing and this machine is no Debian release"))?;
    eprintln!("fetching valgrind from Debian's {suite}");
    let work = folder.with_extension("partial");
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work).map_err(failed)?;
    let apt = Apt::prepare(&work, &[suite])?;
    let mut download = apt.command("apt-get");
    steps::run("apt download", download.args(["download", "valgrind"]).current_dir(&work), |_| {})?;
    let _ = fs::remove_dir_all(folder);
    Apt::unpack(&work, &folder.join("root"))?;
    let script = folder.join("valgrind");
    let root = folder.join("root/usr");
    let root = root.display();
    fs::write(
        &script,
        format!("#!/bin/sh\nVALGRIND_LIB='{root}/libexec/valgrind' exec '{root}/bin/valgrind.bin' \"$@\"\n"),
    )
    .and_then(|()| fs::set_permissions(&script, fs::Permissions::from_mode(0o755)))
    .map_err(failed)?;
    fs::remove_dir_all(&work).map_err(failed)
}
