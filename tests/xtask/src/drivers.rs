//! `cargo xtask drivers`: builds the driver images on a machine without Windows. `cargo xtask check`: lints them.
//!
//! cargo does the work, with three things added on its command line: stand-ins in place of the two crates that need
//! the WDK, a second lock file for them (the committed one is the one of Windows), and a way to `core` and `alloc`.
//! docs/building.md tells more.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use crate::arguments::Arguments;
use crate::command::{Command, Failure};
use crate::toolchain::{TARGET, Toolchain};
use crate::{defects, drivers_inf, drivers_twice, steps, workspace};

/// The command that builds.
pub const COMMAND: Command = Command {
    name: "drivers",
    usage: "[--package NAME]... [--twice]",
    summary: "Build netdma.sys, ioatdma.sys, netdmatest.sys and the drivers of tests and guides into target/drivers.\n\n\
              With --twice, builds a copy of the sources in another folder, too, and fails unless every byte is the same.\n\
              Each with its .pdb and .inf in target/drivers/NAME. The library sources that the compiler lacks are \
              fetched once\ninto the cache folder: $NETDMA_CACHE, else $XDG_CACHE_HOME/netdma, else ~/.cache/netdma.",
    run,
};

/// The command that lints.
pub const CHECK: Command = Command {
    name: "check",
    usage: "[--package NAME]...",
    summary: "Lint the driver crates, netdmactl for Windows and the defect drivers with clippy, without linking.",
    run: |words| match packages(words)? {
        all if all.is_empty() => check_for_windows(),
        some => check_only(&some),
    },
};

/// The driver crates that are shipped, each the name of its image.
pub const DRIVERS: [&str; 3] = ["netdma", "ioatdma", "netdmatest"];

/// The driver crates of tests and guides, each the name of its image, with the folder of its INF.
const TEST_DRIVERS: [(&str, &str); 2] = [("netdmasoft", "tests/provider"), ("netdmacopy", "tests/copy")];

/// The crates that build for Windows only: the drivers and what they share.
const WINDOWS_CRATES: [&str; 6] = ["nt", "netdma", "ioatdma", "netdmatest", "netdmasoft", "netdmacopy"];

/// Every image with the folder of its INF.
fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    DRIVERS.iter().map(|name| (*name, "inf")).chain(TEST_DRIVERS)
}

/// The images of the crates in `only`, of all when it is empty.
pub fn images_of(only: &[String]) -> impl Iterator<Item = &'static str> {
    all().map(|(name, _)| name).filter(|name| only.is_empty() || only.iter().any(|given| given == name))
}

/// Where the finished images are, one folder each.
pub fn images() -> PathBuf {
    workspace::root().join("target/drivers")
}

fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let twice = words.iter().any(|word| word == "--twice");
    let only = packages(words.into_iter().filter(|word| word != "--twice").collect())?;
    if twice {
        drivers_twice::build_twice(&only)?
    } else {
        build(&only)?
    };
    for name in images_of(&only) {
        let image = images().join(name).join(format!("{name}.sys"));
        let size = fs::metadata(&image).map(|data| data.len()).unwrap_or(0);
        println!("{} ({size} bytes)", image.display());
    }
    Ok(())
}

/// The values of `--package`.
fn packages(words: Vec<OsString>) -> Result<Vec<String>, Failure> {
    let arguments = Arguments::parse(words, &[], &["--package"])?;
    arguments.no_rest()?;
    arguments
        .values("--package")
        .map(|name| match name.to_str() {
            Some(name) if WINDOWS_CRATES.contains(&name) => Ok(name.to_owned()),
            _ => Err(Failure::usage(format!("{name:?} is no driver crate: {}", WINDOWS_CRATES.join(", ")))),
        })
        .collect()
}

/// Builds the drivers named in `only`, all of them when it is empty, and puts image, symbols and INF into
/// [`images`]. Files whose content does not change are not touched.
///
/// # Errors
/// What is needed is missing, or a crate does not compile.
pub fn build(only: &[String]) -> Result<(), Failure> {
    let wanted = |name: &str| only.is_empty() || only.iter().any(|given| given == name);
    let wanted: Vec<(&str, &str)> = all().filter(|(name, _)| wanted(name)).collect();
    if wanted.is_empty() {
        let names: Vec<&str> = all().map(|(name, _)| name).collect();
        return Err(Failure::usage(format!("nothing to build; images are: {}", names.join(", "))));
    }
    let mut cargo = for_windows("build", "release")?;
    for (name, _) in &wanted {
        cargo.args(["--package", name]);
    }
    steps::run("driver images", &mut cargo, |_| {})?;
    let built = build_folder().join(TARGET).join("release");
    for (name, inf_folder) in wanted {
        let folder = images().join(name);
        fs::create_dir_all(&folder)
            .map_err(|error| Failure::usage(format!("{}: {error}", folder.display())))?;
        for (from, to) in [("dll", "sys"), ("pdb", "pdb")] {
            let source = built.join(format!("{name}.{from}"));
            let bytes = fs::read(&source)
                .map_err(|error| Failure::usage(format!("{}: {error}", source.display())))?;
            write_if_changed(&folder.join(format!("{name}.{to}")), &bytes)?;
        }
        let inx = workspace::root().join(inf_folder).join(format!("{name}.inx"));
        let inf = drivers_inf::stamped(&inx)?;
        write_if_changed(&folder.join(format!("{name}.inf")), inf.as_bytes())?;
    }
    Ok(())
}

/// Lints every crate that builds for Windows only, netdmactl as Windows sees it, and the stand-ins; a warning is an error.
///
/// # Errors
/// As [`build`], or a lint fired.
pub fn check() -> Result<(), Failure> {
    check_for_windows()?;
    for (name, arguments) in [
        ("stand-ins format", &["fmt", "--all", "--check"][..]),
        ("stand-ins lints", &["clippy", "--all-targets", "--", "--deny", "warnings"]),
    ] {
        steps::run(name, of_standins(arguments[0]).args(&arguments[1..]), |_| {})?;
    }
    Ok(())
}

/// Lints everything that builds for Windows only.
fn check_for_windows() -> Result<(), Failure> {
    check_only(&[])?;
    check_tool()?;
    defects::check()
}

/// rustdoc over every crate that builds for Windows only; a warning is an error. Nobody links to a driver, so what its
/// crate documents is for who reads it: private items too.
///
/// # Errors
/// As [`build`], or rustdoc complains.
pub fn document() -> Result<(), Failure> {
    let mut cargo = for_windows("doc", "release")?;
    cargo
        .args(["--no-deps", "--document-private-items"])
        .env("RUSTDOCFLAGS", "--deny warnings --allow rustdoc::private-intra-doc-links");
    for name in WINDOWS_CRATES {
        cargo.args(["--package", name]);
    }
    steps::run("driver rustdoc", &mut cargo, |_| {})
}

/// Lints netdmactl as it is built for Windows.
fn check_tool() -> Result<(), Failure> {
    let mut cargo = steps::cargo_command();
    cargo.args(["clippy", "--target", TARGET, "--package", "netdmactl"]);
    Toolchain::find()?.configure_for_programs(&mut cargo);
    cargo.env("CARGO_TARGET_DIR", build_folder()).args(["--", "--deny", "warnings"]);
    steps::run("netdmactl lints", &mut cargo, |_| {})
}

/// A cargo for the stand-ins' own workspace.
pub fn of_standins(subcommand: &str) -> Process {
    let mut cargo = steps::cargo_command();
    cargo.arg(subcommand).arg("--manifest-path").arg(workspace::root().join("tests/wdk/Cargo.toml"));
    cargo
}

fn check_only(only: &[String]) -> Result<(), Failure> {
    let mut cargo = for_windows("clippy", "release")?;
    for name in
        WINDOWS_CRATES.iter().filter(|name| only.is_empty() || only.iter().any(|given| given == *name))
    {
        cargo.args(["--package", name]);
    }
    cargo.args(["--", "--deny", "warnings"]);
    steps::run("driver lints", &mut cargo, |_| {})
}

/// A cargo that builds for Windows in a target folder of its own.
///
/// # Errors
/// What is needed is missing.
pub fn for_windows(subcommand: &str, profile: &str) -> Result<Process, Failure> {
    let toolchain = Toolchain::find()?;
    eprintln!("{}", toolchain.describe());
    let folder = build_folder();
    fs::create_dir_all(&folder).map_err(|error| Failure::usage(format!("{}: {error}", folder.display())))?;
    forget_old_signatures()?;
    let linker = write_linker(&toolchain)?;
    let mut cargo = steps::cargo_command();
    cargo.args([subcommand, "--profile", profile, "--target", TARGET]);
    with_standins(&mut cargo)?;
    toolchain.configure(&mut cargo);
    cargo
        .arg("--config")
        .arg(format!("target.{TARGET}.rustflags={}", flags(&toolchain)))
        .env("CARGO_TARGET_DIR", &folder)
        .env("CARGO_TARGET_X86_64_PC_WINDOWS_MSVC_LINKER", linker);
    Ok(cargo)
}

/// Puts the stand-ins in place of crates.io's `wdk-sys` and `wdk-build`, with a lock file of their own: a copy of the
/// committed one that cargo then adjusts. Needs `RUSTC_BOOTSTRAP`, which this sets.
///
/// # Errors
/// The lock file cannot be copied.
pub fn with_standins(cargo: &mut Process) -> Result<(), Failure> {
    let root = workspace::root();
    let folder = build_folder();
    let lock = folder.join("Cargo.lock");
    let committed = fs::read(root.join("Cargo.lock"))
        .map_err(|error| Failure::usage(format!("Cargo.lock cannot be read: {error}")))?;
    // Only when the committed one has changed: cargo would otherwise resolve anew each time.
    let basis = folder.join("Cargo.lock.basis");
    if !lock.is_file() || fs::read(&basis).ok().as_deref() != Some(&committed) {
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(&lock, &committed))
            .and_then(|()| fs::write(&basis, &committed))
            .map_err(|error| Failure::usage(format!("{}: {error}", lock.display())))?;
    }
    cargo.arg("-Zlockfile-path").env("RUSTC_BOOTSTRAP", "1");
    let mut configure = |key: &str, path: &Path| {
        cargo.arg("--config").arg(format!("{key}={:?}", path.display().to_string()));
    };
    configure("resolver.lockfile-path", &lock);
    configure("patch.crates-io.wdk-sys.path", &root.join("tests/wdk/sys"));
    configure("patch.crates-io.wdk-build.path", &root.join("tests/wdk/build"));
    Ok(())
}

/// Compiler options, as a TOML array: paths that would differ from machine to machine are replaced.
fn flags(toolchain: &Toolchain) -> String {
    let root = workspace::root();
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let mut flags = Vec::new();
    let mut remap =
        |from: &Path, to: &str| flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    remap(&root, "/netdma");
    if let Some(home) = cargo_home {
        remap(&home, "/cargo");
    }
    remap(&toolchain.sysroot, "/rust");
    if let Some(library) = &toolchain.sources {
        remap(library, "/rust/library");
    }
    format!("{flags:?}")
}

/// Where cargo builds for Windows. Not under `CARGO_TARGET_DIR`: the images belong to the checkout, wherever the
/// tests that load them are built.
pub fn build_folder() -> PathBuf {
    workspace::root().join("target/driver-build")
}

/// Writes the program that links: LLVM's linker, told no path that differs from machine to machine.
///
/// The linker writes its own path, its arguments and the paths of its inputs into the PDB, whose hash stands in the
/// image, and rustc gives it files in a temporary folder with a random name. So the linker is run from the build
/// folder, everything in there is named relative to it, and the temporary folder stands behind a symbolic link of a
/// fixed name.
fn write_linker(toolchain: &Toolchain) -> Result<PathBuf, Failure> {
    let folder = build_folder();
    link_to(&toolchain.linker, &folder.join("rust-lld"))?;
    link_to(&toolchain.sysroot, &folder.join("sysroot"))?;
    let path = folder.join("link.sh");
    let script = format!(
        r#"#!/bin/sh
# Written by `cargo xtask drivers`: see write_linker in tests/xtask/src/drivers.rs.
set -e
folder='{folder}'
sysroot='{sysroot}'
cd "$folder"
temporary= output=
for argument; do
    case $argument in
    /OUT:*) output=${{argument#/OUT:}} ;;
    /DEF:*/lib.def) temporary=${{argument#/DEF:}}; temporary=${{temporary%/lib.def}} ;;
    */symbols.o) temporary=${{argument%/symbols.o}} ;;
    esac
done
fixed=$output.link
ln -sfn "$temporary" "$fixed"
trap 'rm -f "$fixed"' EXIT
for argument; do
    shift
    case $argument in
    *"$temporary"*) argument=${{argument%%"$temporary"*}}$fixed${{argument#*"$temporary"}} ;;
    esac
    case $argument in
    *"$folder/"*) argument=${{argument%%"$folder/"*}}${{argument#*"$folder/"}} ;;
    *"$sysroot/"*) argument=${{argument%%"$sysroot/"*}}sysroot/${{argument#*"$sysroot/"}} ;;
    esac
    set -- "$@" "$argument"
done
./rust-lld -flavor link /pdbsourcepath:/netdma/link "$@"
"#,
        folder = folder.display(),
        sysroot = toolchain.sysroot.display(),
    );
    write_if_changed(&path, script.as_bytes())?;
    make_executable(&path)?;
    Ok(path)
}

/// Makes `link` a symbolic link to `target`.
fn link_to(target: &Path, link: &Path) -> Result<(), Failure> {
    if fs::read_link(link).is_ok_and(|found| found == target) {
        return Ok(());
    }
    let _ = fs::remove_file(link);
    std::os::unix::fs::symlink(target, link)
        .map_err(|error| Failure::usage(format!("{}: {error}", link.display())))
}

fn make_executable(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

/// `wdk-macros` keeps the signatures of KMDF's functions for as long as its build lasts, whatever becomes of the file
/// it read them from. When the table has changed since the last build, what it keeps is removed.
fn forget_old_signatures() -> Result<(), Failure> {
    let table = workspace::root().join("tests/wdk/sys/kmdf-1.15.table");
    let current =
        fs::read(&table).map_err(|error| Failure::usage(format!("{}: {error}", table.display())))?;
    let seen = build_folder().join("kmdf-1.15.table");
    if fs::read(&seen).ok().as_deref() == Some(&current) {
        return Ok(());
    }
    for profile in ["debug", "release", "defects"] {
        let Ok(entries) = fs::read_dir(build_folder().join(profile).join("build")) else { continue };
        for entry in
            entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("scratch-"))
        {
            let _ = fs::remove_dir_all(entry.path().join("out/wdk_macros_ast_fragments"));
        }
    }
    write_if_changed(&seen, &current)
}

pub fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if fs::read(path).ok().as_deref() == Some(bytes) {
        return Ok(());
    }
    fs::write(path, bytes).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}
