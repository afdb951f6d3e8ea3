//! A private apt: packages of the machine's own Debian archive for any user, without touching the machine.
//!
//! Own state, own sources with the archive's address taken from the machine's, signatures checked with the
//! system's keyring. Nothing is installed: packages are downloaded and unpacked into a folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::Failure;
use crate::steps;

/// The keyring of Debian's archive, from package debian-archive-keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// An apt that knows some suites of the archive and nothing of the machine.
pub struct Apt {
    work: PathBuf,
}

impl Apt {
    /// Prepares one in the folder `work` for `suites` and fetches their indexes.
    ///
    /// # Errors
    /// The machine is no Debian, or the archive cannot be reached.
    pub fn prepare(work: &Path, suites: &[&str]) -> Result<Self, Failure> {
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
        let write = |name: &str, text: String| {
            let path = work.join(name);
            fs::write(&path, text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
        };
        for folder in ["state/lists/partial", "cache/archives/partial"] {
            let path = work.join(folder);
            fs::create_dir_all(&path)
                .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        }
        let lines = suites.iter().map(|suite| format!("deb [signed-by={KEYRING}] {archive} {suite} main\n"));
        write("sources.list", lines.collect())?;
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
        let apt = Self { work: work.to_owned() };
        steps::run(
            "apt update",
            apt.command("apt-get").args(["update", "-o", "APT::Update::Error-Mode=any"]),
            |_| {},
        )?;
        Ok(apt)
    }

    /// A program of apt's, set up for this one.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.work.join("apt.conf")).env("LC_ALL", "C");
        command
    }

    /// What a question to apt-cache answers.
    ///
    /// # Errors
    /// apt-cache cannot be started.
    pub fn ask(&self, words: &[&str]) -> Result<String, Failure> {
        let output = self
            .command("apt-cache")
            .args(words)
            .output()
            .map_err(|error| Failure::usage(format!("apt-cache: {error}")))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Unpacks the packages in `from` into `folder`.
    ///
    /// # Errors
    /// A package is damaged, or there is no space.
    pub fn unpack(from: &Path, folder: &Path) -> Result<(), Failure> {
        let entries =
            fs::read_dir(from).map_err(|error| Failure::usage(format!("{}: {error}", from.display())))?;
        let mut packages: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .collect();
        packages.sort();
        if packages.is_empty() {
            return Err(Failure::usage("apt-get left no package behind"));
        }
        // dpkg-deb makes one folder, not those above it.
        fs::create_dir_all(folder)
            .map_err(|error| Failure::usage(format!("{}: {error}", folder.display())))?;
        for package in packages {
            steps::run("unpack", Command::new("dpkg-deb").arg("-x").arg(&package).arg(folder), |_| {})?;
        }
        Ok(())
    }
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
}
