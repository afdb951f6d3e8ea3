//! From `inf/NAME.inx` to an INF: what `stampinf` does on Windows, with a date that does not depend on the day.

use std::path::Path;

use crate::command::Failure;
use crate::workspace;

/// The INF made from the template at `inx`.
///
/// `$ARCH$` becomes `amd64`, `$KMDFVERSION$` the version the workspace names, and `DriverVer` the release date and
/// the version of the workspace's Cargo.toml: the same sources give the same INF on every day.
///
/// # Errors
/// The template or Cargo.toml cannot be read, or the latter does not tell date, version or KMDF version.
pub fn stamped(inx: &Path) -> Result<String, Failure> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
    };
    let stamp = Stamp::from_manifest(&read(&workspace::root().join("Cargo.toml"))?)?;
    stamp
        .apply(&read(inx)?)
        .ok_or_else(|| Failure::usage(format!("{}: no DriverVer to stamp", inx.display())))
}

/// The release date of the workspace as `yymmdd`.
///
/// # Errors
/// Cargo.toml cannot be read or does not tell it.
pub fn release_date() -> Result<String, Failure> {
    let path = workspace::root().join("Cargo.toml");
    let manifest = std::fs::read_to_string(&path)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    value_of(&manifest, "workspace.metadata.release", "date")
        .map(|date| date.chars().filter(char::is_ascii_digit).skip(2).collect())
        .ok_or_else(|| Failure::usage("Cargo.toml: [workspace.metadata.release] does not tell date"))
}

/// What goes into an INF.
#[derive(Debug, PartialEq)]
struct Stamp {
    /// mm/dd/yyyy, as INFs want it.
    date: String,
    /// Four numbers.
    version: String,
    /// `1.15`.
    kmdf: String,
}

impl Stamp {
    fn from_manifest(manifest: &str) -> Result<Self, Failure> {
        let value = |section: &str, key: &str| {
            value_of(manifest, section, key)
                .ok_or_else(|| Failure::usage(format!("Cargo.toml: [{section}] does not tell {key}")))
        };
        let date = value("workspace.metadata.release", "date")?;
        let date = match date.split('-').collect::<Vec<_>>()[..] {
            [year, month, day] => format!("{month}/{day}/{year}"),
            _ => return Err(Failure::usage(format!("Cargo.toml: release date {date:?} is not yyyy-mm-dd"))),
        };
        let model = "workspace.metadata.wdk.driver-model";
        Ok(Self {
            date,
            version: format!("{}.0", value("workspace.package", "version")?),
            kmdf: format!(
                "{}.{}",
                value(model, "kmdf-version-major")?,
                value(model, "target-kmdf-version-minor")?
            ),
        })
    }

    /// The template with its stamps, or nothing when it has no DriverVer line.
    fn apply(&self, template: &str) -> Option<String> {
        let mut dated = false;
        let mut text = String::with_capacity(template.len());
        for line in template.lines() {
            match line.split_once('=') {
                Some((key, _)) if key.trim().eq_ignore_ascii_case("DriverVer") => {
                    dated = true;
                    text.push_str(&format!("{key}= {},{}", self.date, self.version));
                }
                _ => text.push_str(&line.replace("$ARCH$", "amd64").replace("$KMDFVERSION$", &self.kmdf)),
            }
            text.push_str("\r\n");
        }
        dated.then_some(text)
    }
}

/// The value of `key` in `[section]` of a manifest, without quotes.
fn value_of(manifest: &str, section: &str, key: &str) -> Option<String> {
    manifest
        .lines()
        .skip_while(|line| line.trim() != format!("[{section}]"))
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once('='))
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim().trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[workspace.package]\nversion = \"1.2.3\"\n\n[workspace.metadata.release]\n\
                            date = \"2026-01-31\"\n[workspace.metadata.wdk.driver-model]\n\
                            kmdf-version-major = 1\ntarget-kmdf-version-minor = 15\n";

    #[test]
    fn templates_become_infs_with_the_release_date_and_version() {
        let stamp = Stamp::from_manifest(MANIFEST).unwrap();
        let inf =
            stamp.apply("[Version]\nDriverVer   = 1/1/2001,0\n[X.NT$ARCH$]\nKmdf = $KMDFVERSION$\n").unwrap();
        assert_eq!(inf, "[Version]\r\nDriverVer   = 01/31/2026,1.2.3.0\r\n[X.NTamd64]\r\nKmdf = 1.15\r\n");
    }

    #[test]
    fn a_template_without_a_version_line_is_refused() {
        assert_eq!(Stamp::from_manifest(MANIFEST).unwrap().apply("[Version]\n"), None);
    }

    #[test]
    fn a_manifest_that_lacks_the_date_is_refused_by_name() {
        let failure = Stamp::from_manifest(&MANIFEST.replace("date", "day")).unwrap_err().to_string();
        assert!(failure.contains("workspace.metadata.release") && failure.contains("date"), "{failure}");
    }

    #[test]
    fn the_workspace_itself_can_be_stamped() {
        let manifest = std::fs::read_to_string(workspace::root().join("Cargo.toml")).unwrap();
        assert_eq!(Stamp::from_manifest(&manifest).unwrap().kmdf, "1.15");
    }
}
