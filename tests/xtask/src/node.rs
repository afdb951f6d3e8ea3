//! Node, which runs the debugger script in tests: the machine's own, else Debian's, unpacked into the cache folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use crate::command::Failure;
use crate::debian::Apt;
use crate::{cache, steps};

/// The release whose Node is taken: it must know ES2020. Those of later releases read parts of themselves from
/// /usr/share/nodejs and do not run from another folder.
const SUITES: &[&str] = &["bullseye"];
const PACKAGES: &[&str] = &["nodejs"];

/// The tests of the debugger script, as a test program to be started. Where there is no Node and none can be had, the
/// program says so test by test, and does not succeed.
pub fn debugger_tests() -> Process {
    let mut command = steps::cargo_test_command();
    command.args(["--package", "machine", "--test", "debugger"]);
    match find() {
        Ok(Some(program)) => {
            command.env("NETDMA_NODE", program);
        }
        Ok(None) => {}
        Err(why) => println!("      no Node: {why}"),
    }
    command
}

/// Node's program. `None`: the tests find the machine's own.
///
/// # Errors
/// There is none and it cannot be fetched; the message says why.
fn find() -> Result<Option<PathBuf>, Failure> {
    let runs = |program: &Path| {
        Process::new(program).args(["--eval", "0n"]).output().is_ok_and(|answer| answer.status.success())
    };
    if std::env::var_os("NETDMA_NODE").is_some()
        || ["node", "nodejs"].iter().any(|name| runs(Path::new(name)))
    {
        return Ok(None);
    }
    let _lock = cache::lock()?;
    let folder = cache::folder()?.join("node");
    let program = folder.join("node");
    if !runs(&program) {
        install(&folder, &program)?;
        if !runs(&program) {
            return Err(Failure::usage(format!("{} was fetched and does not run", program.display())));
        }
    }
    Ok(Some(program))
}

/// Fetches and unpacks, and writes a program that runs it with its own libraries.
fn install(folder: &Path, program: &Path) -> Result<(), Failure> {
    eprintln!("fetching Node for the debugger script's tests, from Debian's {}", SUITES.join(", "));
    let failed = |error: std::io::Error| Failure::usage(format!("{}: {error}", folder.display()));
    let _ = fs::remove_dir_all(folder);
    let (work, root) = (folder.join("work"), folder.join("root"));
    fs::create_dir_all(&work).map_err(failed)?;
    let apt = Apt::prepare(&work, SUITES)?;
    let mut download = apt.command("apt-get");
    download.args(["install", "--yes", "--download-only", "--no-install-recommends"]).args(PACKAGES);
    steps::run("apt download", &mut download, |_| {})?;
    Apt::unpack(&work.join("cache/archives"), &root)?;
    fs::remove_dir_all(&work).map_err(failed)?;
    // Through its own dynamic linker: the machine's C library may be older.
    let script = format!(
        "#!/bin/sh\nroot='{}'\nexec \"$root/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2\" --library-path \
         \"$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu\" \"$root/usr/bin/node\" \"$@\"\n",
        root.display()
    );
    fs::write(program, script).map_err(failed)?;
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).map_err(failed)
}
