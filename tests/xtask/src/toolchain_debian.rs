//! Library sources from the machine's own Debian archive, as any user may fetch them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::Failure;
use crate::debian::Apt;
use crate::steps;

/// The suite that carries compilers newer than the stable release's.
const SUITE: &str = "trixie-backports";

/// Unpacks the library sources of Rust `version` as `folder/library`.
///
/// # Errors
/// The machine is no Debian, the archive cannot be reached, or it has no such version.
pub fn fetch_sources(version: &str, folder: &Path) -> Result<(), Failure> {
    // Everything happens in a folder beside the target, which is renamed when complete.
    let mut work = folder.as_os_str().to_owned();
    work.push(".partial");
    let work = PathBuf::from(work);
    let _ = fs::remove_dir_all(&work);
    eprintln!("fetching the library sources of Rust {version} from Debian's {SUITE}");
    let apt = Apt::prepare(&work, &[SUITE])?;
    let package = newest(&apt, "rust-src", version)?;
    steps::run(
        "apt download",
        apt.command("apt-get").arg("download").arg(format!("rust-src={package}")).current_dir(&work),
        |_| {},
    )?;
    unpack(&work, folder)?;
    let _ = fs::remove_dir_all(&work);
    eprintln!("unpacked into {}", folder.display());
    Ok(())
}

/// The newest package version of `package` whose upstream version is `version`.
fn newest(apt: &Apt, package: &str, version: &str) -> Result<String, Failure> {
    let table = apt.ask(&["madison", package])?;
    pick(&table, version).ok_or_else(|| {
        let offered: Vec<&str> = versions(&table).collect();
        Failure::usage(format!(
            "{SUITE} has no {package} {version}, which must match the compiler exactly; it has: {}",
            if offered.is_empty() { "none".to_owned() } else { offered.join(", ") }
        ))
    })
}

/// The versions of `apt-cache madison`'s table, newest first: `rust-src | 1.95.0+dfsg1-2 | archive suite`.
fn versions(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter_map(|line| line.split('|').nth(1)).map(str::trim)
}

fn pick(table: &str, version: &str) -> Option<String> {
    versions(table).find(|offered| offered.split(['+', '-', '~']).next() == Some(version)).map(str::to_owned)
}

/// Unpacks the only package in `work` and moves its `library` folder into `folder`.
fn unpack(work: &Path, folder: &Path) -> Result<(), Failure> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |error| Failure::usage(format!("{path}: {error}"))
    };
    let tree = work.join("tree");
    Apt::unpack(work, &tree)?;
    let sources = tree.join("usr/src");
    let library = fs::read_dir(&sources)
        .map_err(failed(&sources))?
        .flatten()
        .map(|entry| entry.path().join("library"))
        .find(|path| path.join("core/src/lib.rs").is_file())
        .ok_or_else(|| Failure::usage(format!("{} holds no library sources", sources.display())))?;
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).map_err(failed(folder))?;
    fs::rename(&library, folder.join("library")).map_err(failed(&library))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_compilers_own_version_is_taken() {
        let table = " rust-src | 1.96.1+dfsg1-2~bpo13+1 | x\n rust-src | 1.95.0+dfsg1-2~bpo13+2 | x\n \
                     rust-src | 1.95.0+dfsg1-2~bpo13+1 | x\n";
        assert_eq!(pick(table, "1.95.0"), Some("1.95.0+dfsg1-2~bpo13+2".into()));
        assert_eq!(pick(table, "1.95.1"), None);
        assert_eq!(pick(table, "1.9"), None);
    }
}
