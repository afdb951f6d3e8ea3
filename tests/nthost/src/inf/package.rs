//! What an INF says: which devices it serves and what installing it does.
//!
//! Sources are the Learn pages "INF Manufacturer Section", "INF Models Section", "INF DDInstall Section" and those of
//! the directives. Platform decorations are chosen for a 64-bit x64 machine of a given Windows build.

use super::{Entry, Inf, InfError, Section};
use crate::registry::Value;

/// The Windows release an INF is installed on: what `NTamd64.10.0...19041` is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// 10 for Windows 10 and 11.
    pub major: u32,
    /// 0 for Windows 10 and 11.
    pub minor: u32,
    /// 19041 for Windows 10 2004, the oldest one served (D8).
    pub build: u32,
}

/// One line of a models section: a device and how to install it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// What the device manager shows.
    pub description: String,
    /// The install section's base name.
    pub install: String,
    /// Hardware id first, then compatible ids.
    pub ids: Vec<String>,
    /// Where it is written.
    pub line: u32,
}

/// Where a match stands: lower is better (Learn, "How Windows Ranks Drivers": the identifier score).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(pub u32);

/// A file to copy: from the package to a directory of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyFile {
    /// Name in the package.
    pub source: String,
    /// Name at the destination.
    pub target: String,
    /// Destination directory.
    pub directory: Directory,
    /// The line that asks for it.
    pub line: u32,
}

/// A destination: `[DestinationDirs]` dirid and subdirectory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// 12 is System32\Drivers, 13 the driver package's folder in the driver store.
    pub dirid: u32,
    /// Below it, may be empty.
    pub subdirectory: String,
}

/// One line of an add-registry section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddReg {
    /// `HKR`, `HKLM`, …
    pub root: String,
    /// Below the root, may be empty.
    pub subkey: String,
    /// The value's name; empty for the key's default value or a key alone.
    pub name: String,
    /// What to write; `None` for a key alone.
    pub value: Option<Value>,
    /// A value that is there already stays (FLG_ADDREG_NOCLOBBER).
    pub keep: bool,
    /// The line.
    pub line: u32,
}

/// A service to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name, the key under `Services`.
    pub name: String,
    /// SPSVCINST_ASSOCSERVICE: this is the device's function driver.
    pub associated: bool,
    /// Optional display name.
    pub display_name: String,
    /// 1: kernel driver.
    pub service_type: u32,
    /// 0 boot, 1 system, 2 automatic, 3 demand, 4 disabled.
    pub start_type: u32,
    /// 0 ignore, 1 normal, 2 severe, 3 critical.
    pub error_control: u32,
    /// Directory and file of the image.
    pub binary: (Directory, String),
    /// Values of the service key (HKR is the service key here).
    pub registry: Vec<AddReg>,
    /// Where it is defined.
    pub line: u32,
}

/// Everything one install section asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The decorated section that was chosen.
    pub section: String,
    /// Files.
    pub files: Vec<CopyFile>,
    /// HKR is the device's software key.
    pub registry: Vec<AddReg>,
    /// HKR is the device's hardware key (`Device Parameters`).
    pub hardware: Vec<AddReg>,
    /// Services.
    pub services: Vec<Service>,
    /// (service, KMDF version) of the `.Wdf` section.
    pub kmdf: Option<(String, String)>,
}

/// What `[Version]` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Setup class name.
    pub class: String,
    /// Setup class GUID.
    pub class_guid: String,
    /// Who made the package.
    pub provider: String,
    /// `month/day/year,w.x.y.z`.
    pub driver_ver: String,
    /// The catalogue.
    pub catalog: String,
}

impl Inf {
    /// Checks and returns `[Version]`.
    ///
    /// # Errors
    /// When the section, the signature or a mandatory entry is missing.
    pub fn version(&self) -> Result<Version, InfError> {
        let section = self
            .section("Version")
            .ok_or_else(|| self.error(None, "there is no [Version] section", "add one with a Signature"))?;
        let signature = self.value("Version", "Signature").unwrap_or_default();
        if !["$WINDOWS NT$", "$CHICAGO$"].contains(&signature.to_ascii_uppercase().as_str()) {
            return Err(self.error(
                Some(section.line),
                format!("the signature is `{signature}`"),
                "write Signature = \"$WINDOWS NT$\"",
            ));
        }
        let entry = |key: &str| {
            let found = section.entries.iter().find(|entry| entry.is(key));
            found.map(|entry| entry.values.join(","))
        };
        let needed = |key: &str| {
            entry(key).filter(|text| !text.is_empty()).ok_or_else(|| {
                self.error(Some(section.line), format!("[Version] has no {key}"), format!("add {key} = …"))
            })
        };
        Ok(Version {
            class: needed("Class")?,
            class_guid: needed("ClassGuid")?,
            provider: needed("Provider")?,
            driver_ver: needed("DriverVer")?,
            catalog: entry("CatalogFile").unwrap_or_default(),
        })
    }

    /// The devices this INF serves on `release`; empty for a primitive driver's INF.
    ///
    /// # Errors
    /// When `[Manufacturer]` leads nowhere.
    pub fn models(&self, release: Release) -> Result<Vec<Model>, InfError> {
        let Some(manufacturers) = self.section("Manufacturer") else { return Ok(Vec::new()) };
        let mut models = Vec::new();
        for entry in &manufacturers.entries {
            let base = if entry.value(0).is_empty() {
                entry.key.as_deref().unwrap_or_default()
            } else {
                entry.value(0)
            };
            let decorations = entry.values.iter().skip(1).filter(|text| !text.is_empty());
            let Some(decoration) = best_decoration(self, entry.line, decorations, release)? else { continue };
            let name = if decoration.is_empty() { base.to_owned() } else { format!("{base}.{decoration}") };
            let section = self.section(&name).ok_or_else(|| {
                self.error(
                    Some(entry.line),
                    format!("models section [{name}] does not exist"),
                    "add it, or correct [Manufacturer]",
                )
            })?;
            for line in &section.entries {
                models.push(self.model(line)?);
            }
        }
        Ok(models)
    }

    fn model(&self, entry: &Entry) -> Result<Model, InfError> {
        let ids: Vec<String> = entry.values.iter().skip(1).filter(|id| !id.is_empty()).cloned().collect();
        match &entry.key {
            Some(description) if !entry.value(0).is_empty() && !ids.is_empty() => Ok(Model {
                description: description.clone(),
                install: entry.value(0).to_owned(),
                ids,
                line: entry.line,
            }),
            _ => Err(self.error(
                Some(entry.line),
                "this is no model",
                "write description = install-section, hardware-id [, compatible-id …]",
            )),
        }
    }

    /// What installing `base` does: `base.NTamd64`, `base.NT` or `base`, with its `.HW`, `.Services` and `.Wdf`.
    ///
    /// # Errors
    /// Anything the sections name and the INF does not define.
    pub fn plan(&self, base: &str) -> Result<Plan, InfError> {
        let section = [".NTamd64", ".NT", ""]
            .iter()
            .find_map(|decoration| self.section(&format!("{base}{decoration}")))
            .ok_or_else(|| {
                self.error(
                    None,
                    format!("install section [{base}] does not exist for this platform"),
                    format!("add [{base}.NTamd64]"),
                )
            })?;
        let name = section.name.clone();
        let mut plan = Plan { section: name.clone(), ..Plan::default() };
        for entry in section.entries.iter().filter(|entry| entry.is("CopyFiles")) {
            for list in &entry.values {
                self.copy_files(list, entry.line, &mut plan.files)?;
            }
        }
        plan.registry = self.add_registry(section)?;
        if let Some(hardware) = self.section(&format!("{name}.HW")) {
            plan.hardware = self.add_registry(hardware)?;
        }
        if let Some(services) = self.section(&format!("{name}.Services")) {
            for entry in services.entries.iter().filter(|entry| entry.is("AddService")) {
                plan.services.push(self.service(entry)?);
            }
        }
        if let Some(wdf) = self.section(&format!("{name}.Wdf"))
            && let Some(entry) = wdf.entries.iter().find(|entry| entry.is("KmdfService"))
        {
            let version = self.value(entry.value(1), "KmdfLibraryVersion").ok_or_else(|| {
                self.error(
                    Some(entry.line),
                    format!("[{}] gives no KmdfLibraryVersion", entry.value(1)),
                    "add KmdfLibraryVersion = major.minor",
                )
            })?;
            plan.kmdf = Some((entry.value(0).to_owned(), version.to_owned()));
        }
        Ok(plan)
    }

    /// `CopyFiles = section` or `CopyFiles = @file`.
    fn copy_files(&self, list: &str, line: u32, files: &mut Vec<CopyFile>) -> Result<(), InfError> {
        if let Some(file) = list.strip_prefix('@') {
            let directory = self.destination("DefaultDestDir", line)?;
            files.push(CopyFile { source: file.to_owned(), target: file.to_owned(), directory, line });
            return Ok(());
        }
        let section = self.section(list).ok_or_else(|| {
            self.error(Some(line), format!("CopyFiles section [{list}] does not exist"), "add it")
        })?;
        let destinations = self.section("DestinationDirs");
        let own = destinations.is_some_and(|dirs| dirs.entries.iter().any(|entry| entry.is(list)));
        let directory = self.destination(if own { list } else { "DefaultDestDir" }, line)?;
        for entry in &section.entries {
            let target = entry.value(0).to_owned();
            let source = if entry.value(1).is_empty() { target.clone() } else { entry.value(1).to_owned() };
            files.push(CopyFile { source, target, directory: directory.clone(), line: entry.line });
        }
        Ok(())
    }

    /// The line of `[DestinationDirs]` for `key`.
    fn destination(&self, key: &str, line: u32) -> Result<Directory, InfError> {
        let entry = self.section("DestinationDirs").and_then(|dirs| dirs.entries.iter().find(|e| e.is(key)));
        let entry = entry.ok_or_else(|| {
            self.error(
                Some(line),
                format!("[DestinationDirs] says nothing about {key}"),
                "add DefaultDestDir = 13 (or 12 for an export driver)",
            )
        })?;
        let dirid = entry.value(0).parse().map_err(|_| {
            self.error(
                Some(entry.line),
                format!("`{}` is no directory identifier", entry.value(0)),
                "write a number, for example 13",
            )
        })?;
        Ok(Directory { dirid, subdirectory: entry.value(1).to_owned() })
    }

    /// All `AddReg` directives of a section.
    fn add_registry(&self, section: &Section) -> Result<Vec<AddReg>, InfError> {
        let mut lines = Vec::new();
        for directive in section.entries.iter().filter(|entry| entry.is("AddReg")) {
            for name in &directive.values {
                let list = self.section(name).ok_or_else(|| {
                    self.error(
                        Some(directive.line),
                        format!("AddReg section [{name}] does not exist"),
                        "add it",
                    )
                })?;
                for entry in &list.entries {
                    lines.push(self.add_reg(entry)?);
                }
            }
        }
        Ok(lines)
    }

    /// `root, subkey, name, flags, value…` (Learn, "INF AddReg Directive").
    fn add_reg(&self, entry: &Entry) -> Result<AddReg, InfError> {
        let root = entry.value(0).to_ascii_uppercase();
        if !["HKR", "HKLM", "HKCR", "HKCU", "HKU"].contains(&root.as_str()) {
            return Err(self.error(Some(entry.line), format!("`{root}` is no registry root"), "use HKR"));
        }
        let flags = if entry.value(3).is_empty() { 0 } else { self.number(entry, entry.value(3))? };
        let data: Vec<&str> = entry.values.iter().skip(4).map(String::as_str).collect();
        let value = match flags & 0xFFFF_0001 {
            _ if flags & 0x10 != 0 => None,
            _ if entry.values.len() <= 2 => None,
            0 => Some(Value::Sz(data.first().copied().unwrap_or_default().to_owned())),
            0x0002_0000 => Some(Value::ExpandSz(data.first().copied().unwrap_or_default().to_owned())),
            0x0001_0000 => Some(Value::MultiSz(data.iter().map(|text| (*text).to_owned()).collect())),
            0x0001_0001 => Some(Value::Dword(self.number(entry, data.first().copied().unwrap_or("0"))?)),
            1 => {
                let bytes = data.iter().map(|text| u8::from_str_radix(text, 16));
                let bytes: Result<Vec<u8>, _> = bytes.collect();
                Some(Value::Binary(bytes.map_err(|_| {
                    self.error(Some(entry.line), "binary data is no list of bytes", "write 1a,2b,…")
                })?))
            }
            other => {
                return Err(self.error(
                    Some(entry.line),
                    format!("registry flags {other:#010x} are not supported"),
                    "use 0x00010001 for a number, 0x00000000 for a string",
                ));
            }
        };
        Ok(AddReg {
            root,
            subkey: entry.value(1).to_owned(),
            name: entry.value(2).to_owned(),
            value,
            keep: flags & 2 != 0,
            line: entry.line,
        })
    }

    /// `AddService = name, flags, install-section`.
    fn service(&self, entry: &Entry) -> Result<Service, InfError> {
        let flags = if entry.value(1).is_empty() { 0 } else { self.number(entry, entry.value(1))? };
        let name = entry.value(2);
        let section = self.section(name).ok_or_else(|| {
            self.error(Some(entry.line), format!("service section [{name}] does not exist"), "add it")
        })?;
        let find = |key: &str| {
            section.entries.iter().find(|line| line.is(key)).ok_or_else(|| {
                self.error(
                    Some(section.line),
                    format!("[{}] has no {key}", section.name),
                    format!("add {key}"),
                )
            })
        };
        let number = |key: &str| find(key).and_then(|line| self.number(line, line.value(0)));
        let binary = find("ServiceBinary")?;
        Ok(Service {
            name: entry.value(0).to_owned(),
            associated: flags & 2 != 0,
            display_name: self.value(&section.name, "DisplayName").unwrap_or_default().to_owned(),
            service_type: number("ServiceType")?,
            start_type: number("StartType")?,
            error_control: number("ErrorControl")?,
            binary: self.binary(binary)?,
            registry: self.add_registry(section)?,
            line: section.line,
        })
    }

    /// `%13%\file.sys`.
    fn binary(&self, entry: &Entry) -> Result<(Directory, String), InfError> {
        let text = entry.value(0);
        let parts = text.strip_prefix('%').and_then(|rest| rest.split_once("%\\"));
        let (dirid, path) =
            parts.and_then(|(dirid, path)| Some((dirid.parse().ok()?, path))).ok_or_else(|| {
                self.error(Some(entry.line), format!("`{text}` is no service binary"), "write %13%\\name.sys")
            })?;
        let (subdirectory, file) = path.rsplit_once('\\').unwrap_or(("", path));
        Ok((Directory { dirid, subdirectory: subdirectory.to_owned() }, file.to_owned()))
    }

    /// A decimal or `0x` number.
    fn number(&self, entry: &Entry, text: &str) -> Result<u32, InfError> {
        let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => text.parse(),
        };
        parsed.map_err(|_| {
            self.error(Some(entry.line), format!("`{text}` is no number"), "write a decimal or 0x… number")
        })
    }
}

/// The score of `model` for a device, or `None` when no id matches.
///
/// Learn, "How Windows Ranks Drivers", identifier score: 0x0000 plus the place among the device's hardware ids for the
/// INF's hardware id, 0x1000 plus for its compatible ids; 0x2000 and 0x3000 plus the place among the compatible ids.
pub fn rank(model: &Model, hardware: &[String], compatible: &[String]) -> Option<Rank> {
    let place = |id: &String, list: &[String]| list.iter().position(|own| own.eq_ignore_ascii_case(id));
    let scores = model.ids.iter().enumerate().filter_map(|(index, id)| {
        let further = u32::from(index > 0) * 0x1000 + u32::try_from(index.saturating_sub(1)).ok()? * 0x100;
        let score = match (place(id, hardware), place(id, compatible)) {
            (Some(at), _) => u32::try_from(at).ok()?,
            (None, Some(at)) => 0x2000 + u32::try_from(at).ok()?,
            (None, None) => return None,
        };
        Some(Rank(score + further))
    });
    scores.min()
}

/// The most specific decoration that applies, `""` for none, `None` when the platform is not served.
///
/// Form: `NT[architecture][.[major][.[minor][.[product][.[suite][.[build]]]]]]` (Learn, "INF Manufacturer Section").
fn best_decoration<'a>(
    inf: &Inf,
    line: u32,
    decorations: impl Iterator<Item = &'a String>,
    release: Release,
) -> Result<Option<String>, InfError> {
    let mut best: Option<(Release, String)> = None;
    let mut any = false;
    for decoration in decorations {
        any = true;
        let mut parts = decoration.split('.');
        let platform = parts.next().unwrap_or_default();
        if platform.contains('$') {
            return Err(inf.error(
                Some(line),
                format!("`{decoration}` still has a build variable"),
                "stamp the .inx file first ($ARCH$ becomes amd64)",
            ));
        }
        if !platform.eq_ignore_ascii_case("NTamd64") && !platform.eq_ignore_ascii_case("NT") {
            continue;
        }
        let mut number = || match parts.next() {
            None | Some("") => Ok(0),
            Some(text) => text.parse::<u32>().map_err(|_| {
                inf.error(
                    Some(line),
                    format!("`{decoration}` is no platform"),
                    "write NTamd64.10.0...19041 or the like",
                )
            }),
        };
        let (major, minor) = (number()?, number()?);
        let (_product, _suite) = (number()?, number()?);
        let wanted = Release { major, minor, build: number()? };
        if wanted <= release && best.as_ref().is_none_or(|(chosen, _)| wanted >= *chosen) {
            best = Some((wanted, decoration.clone()));
        }
    }
    Ok(if any { best.map(|(_, decoration)| decoration) } else { Some(String::new()) })
}
