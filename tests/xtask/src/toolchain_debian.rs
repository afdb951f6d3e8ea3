//! Library sources from the machine's own Debian archive, as any user may fetch them: a private apt state, the
//! archive's address from the machine's sources, signatures checked with the system's keyring.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::Failure;
use crate::steps;

/// The suite that carries compilers newer than the stable release's.
const SUITE: &str = "trixie-backports";

/// The keyring of Debian's archive, from package debian-archive-keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Unpacks the library sources of Rust `version` as `folder/library`.
///
/// # Errors
/// The machine is no Debian, the archive cannot be reached, or it has no such version.
pub fn fetch_sources(version: &str, folder: &Path) -> Result<(), Failure> {
    for tool in ["apt-get", "apt-cache", "dpkg-deb"] {
        if Command::new(tool).arg("--version").output().is_err() {
            return Err(Failure::usage(format!("this machine has no {tool}: not a Debian")));
        }
    }
    if !Path::new(KEYRING).is_file() {
        return Err(Failure::usage(format!("{KEYRING} is missing: package debian-archive-keyring")));
    }
    let archive = archive_address(&sources_texts())
        .ok_or_else(|| Failure::usage("/etc/apt names no Debian archive with `main`"))?;

    // Everything happens in a folder beside the target, which is renamed when complete.
    let work = folder.with_extension("partial");
    let _ = fs::remove_dir_all(&work);
    let apt = Apt::prepare(&work, &archive)?;
    eprintln!("fetching the library sources of Rust {version} from {archive} {SUITE}");
    steps::run("apt update", apt.command("apt-get").arg("update"), |_| {})?;
    let package = apt.newest("rust-src", version)?;
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

/// A private apt: own state, own sources, the system's keyring.
struct Apt {
    configuration: PathBuf,
}

impl Apt {
    fn prepare(work: &Path, archive: &str) -> Result<Self, Failure> {
        let write = |name: &str, text: String| {
            let path = work.join(name);
            fs::write(&path, text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
        };
        for folder in ["state/lists/partial", "cache/archives/partial"] {
            let path = work.join(folder);
            fs::create_dir_all(&path)
                .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        }
        write("sources.list", format!("deb [signed-by={KEYRING}] {archive} {SUITE} main\n"))?;
        write("status", String::new())?;
        let here = work.display();
        // A suite's index may be older than its declared life on a mirror that is frozen: the signature still holds.
        write(
            "apt.conf",
            format!(
                "Dir::State \"{here}/state\";\nDir::State::status \"{here}/status\";\nDir::Cache \"{here}/cache\";\n\
                 Dir::Etc::sourcelist \"{here}/sources.list\";\nDir::Etc::sourceparts \"-\";\n\
                 Acquire::Check-Valid-Until \"false\";\nAcquire::Languages \"none\";\nAcquire::Retries \"3\";\n\
                 APT::Sandbox::User \"\";\n"
            ),
        )?;
        Ok(Self { configuration: work.join("apt.conf") })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", &self.configuration).env("LC_ALL", "C");
        command
    }

    /// The newest package version of `package` whose upstream version is `version`.
    fn newest(&self, package: &str, version: &str) -> Result<String, Failure> {
        let output = self
            .command("apt-cache")
            .args(["madison", package])
            .output()
            .map_err(|error| Failure::usage(format!("apt-cache: {error}")))?;
        let table = String::from_utf8_lossy(&output.stdout).into_owned();
        pick(&table, version).ok_or_else(|| {
            let offered: Vec<&str> = versions(&table).collect();
            Failure::usage(format!(
                "{SUITE} has no {package} {version}, which must match the compiler exactly; it has: {}",
                if offered.is_empty() { "none".to_owned() } else { offered.join(", ") }
            ))
        })
    }
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
    let package = fs::read_dir(work)
        .map_err(failed(work))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| Failure::usage("apt-get left no package behind"))?;
    let tree = work.join("tree");
    steps::run("unpack", Command::new("dpkg-deb").arg("-x").args([&package, &tree]), |_| {})?;
    let sources = tree.join("usr/src");
    let library = fs::read_dir(&sources)
        .map_err(failed(&sources))?
        .flatten()
        .map(|entry| entry.path().join("library"))
        .find(|path| path.join("core/src/lib.rs").is_file())
        .ok_or_else(|| Failure::usage(format!("{} holds no library sources", package.display())))?;
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).map_err(failed(folder))?;
    fs::rename(&library, folder.join("library")).map_err(failed(&library))
}

/// The texts of the machine's apt sources: `.list` lines and `.sources` stanzas.
fn sources_texts() -> Vec<String> {
    let mut paths = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        let mut parts: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        parts.sort();
        paths.extend(parts);
    }
    paths.iter().filter_map(|path| fs::read_to_string(path).ok()).collect()
}

/// The first address in the texts of apt sources that serves a Debian release's `main`.
fn archive_address(texts: &[String]) -> Option<String> {
    texts.iter().find_map(|text| one_line_address(text).or_else(|| stanza_address(text)))
}

/// Whether suites like these are a Debian release: not the security archive, which has no backports, and not a
/// foreign repository with a suite of its own making.
fn is_release<'a>(mut suites: impl Iterator<Item = &'a str>) -> bool {
    const RELEASES: [&str; 9] =
        ["bookworm", "trixie", "forky", "sid", "stable", "testing", "unstable", "oldstable", "duke"];
    suites.any(|suite| {
        let release = suite.strip_suffix("-updates").or_else(|| suite.strip_suffix("-backports"));
        RELEASES.contains(&release.unwrap_or(suite))
    })
}

/// `deb [options] address suite component...`
fn one_line_address(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let rest = line.trim().strip_prefix("deb ")?.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']')?.1,
            None => rest,
        };
        let mut words = rest.split_whitespace();
        let address = words.next()?;
        let suite = words.next()?;
        (is_release([suite].into_iter()) && words.any(|word| word == "main")).then(|| address.to_owned())
    })
}

/// A stanza with `Types: deb`, `URIs:`, `Suites:`, `Components:`, in any order.
fn stanza_address(text: &str) -> Option<String> {
    let text: String =
        text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    text.split("\n\n").find_map(|stanza| {
        let field = |name: &str| {
            let mut lines = stanza.lines().skip_while(|line| {
                !line.split_once(':').is_some_and(|(key, _)| key.trim().eq_ignore_ascii_case(name))
            });
            let first = lines.next()?.split_once(':')?.1.to_owned();
            // A field goes on in lines that begin with a blank.
            Some(lines.take_while(|line| line.starts_with([' ', '\t'])).fold(first, |all, line| all + line))
        };
        let types = field("Types")?;
        let suites = field("Suites")?;
        let components = field("Components")?;
        let enabled = field("Enabled").is_none_or(|enabled| enabled.trim() != "no");
        let serves = enabled
            && types.split_whitespace().any(|kind| kind == "deb")
            && is_release(suites.split_whitespace())
            && components.split_whitespace().any(|component| component == "main");
        let addresses = field("URIs")?;
        serves.then(|| addresses.split_whitespace().next().map(str::to_owned))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<String> {
        archive_address(&[text.to_owned()])
    }

    #[test]
    fn a_one_line_source_gives_its_address() {
        let text = "# comment\ndeb-src file:///d bookworm main\n\
                    deb [arch=amd64 signed-by=/k.gpg] file:///archive/debian bookworm main contrib\n";
        assert_eq!(address(text), Some("file:///archive/debian".into()));
    }

    #[test]
    fn a_stanza_gives_its_address_whatever_the_order_of_its_fields() {
        let text = "Suites: bookworm-security\nTypes: deb\nURIs: file:///security\nComponents: main\n\n\
                    # note\nComponents: contrib\n main\nURIs: file:///archive/debian\nTypes: deb deb-src\nSuites: bookworm bookworm-updates\n";
        assert_eq!(address(text), Some("file:///archive/debian".into()));
    }

    #[test]
    fn foreign_and_disabled_repositories_are_passed_over() {
        assert_eq!(address("deb file:///foreign cloud-sdk-bookworm main\n"), None);
        assert_eq!(address("deb file:///security bookworm-security main\n"), None);
        assert_eq!(
            address("Types: deb\nURIs: file:///d\nSuites: sid\nComponents: main\nEnabled: no\n"),
            None
        );
    }

    #[test]
    fn only_the_compilers_own_version_is_taken() {
        let table = " rust-src | 1.96.1+dfsg1-2~bpo13+1 | x\n rust-src | 1.95.0+dfsg1-2~bpo13+2 | x\n \
                     rust-src | 1.95.0+dfsg1-2~bpo13+1 | x\n";
        assert_eq!(pick(table, "1.95.0"), Some("1.95.0+dfsg1-2~bpo13+2".into()));
        assert_eq!(pick(table, "1.95.1"), None);
        assert_eq!(pick(table, "1.9"), None);
    }
}
