//! Installing driver packages: from a folder into the driver store, from the store onto a device or as a service.
//!
//! A package is staged (parsed, its payload checked and copied to its own folder of the driver store) and then either
//! installed at once, when it is a primitive driver's (`[DefaultInstall]`), or for each device it matches best.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::files::{self, Files};
use crate::inf::package::{AddReg, CopyFile, Directory, Model, Plan, Rank, Release, Version, rank};
use crate::inf::{Inf, InfError};
use crate::registry::{CLASS, ENUM, Registry, SERVICES, Value};

/// What installed software consists of: files, registry, packages.
#[derive(Debug, Clone)]
pub struct System {
    /// The disk.
    pub files: Files,
    /// The registry.
    pub registry: Registry,
    /// The release INF decorations are compared with.
    pub release: Release,
    packages: Vec<Package>,
    /// Image file name (lower case) to the host's file with its symbols.
    symbols: BTreeMap<String, PathBuf>,
}

/// A staged package.
#[derive(Debug, Clone)]
pub struct Package {
    /// `oem0.inf`, as the system publishes it.
    pub published: String,
    /// The parsed INF.
    pub inf: Inf,
    /// `[Version]`.
    pub version: Version,
    /// The devices it serves; empty for a primitive driver.
    pub models: Vec<Model>,
    /// Its folder in the driver store.
    pub folder: String,
}

/// A driver package as a folder holds it: the INF and the files beside it.
#[derive(Debug, Clone)]
pub struct Source {
    /// Name of the INF file.
    pub inf: String,
    /// File name (lower case) to contents, the INF included.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The host's folder it was read from: where the symbols of its images lie.
    pub origin: Option<PathBuf>,
}

/// A device as installing sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceIds {
    /// `PCI\VEN_8086&DEV_6F20&…\instance`: the path below `Enum`.
    pub instance: String,
    /// Most specific first.
    pub hardware: Vec<String>,
    /// Most specific first.
    pub compatible: Vec<String>,
}

/// What a device was installed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The function driver's service.
    pub service: String,
    /// What the INF calls the device.
    pub description: String,
    /// The published INF.
    pub published: String,
    /// `[Version] DriverVer`.
    pub driver_ver: String,
}

impl Source {
    /// Reads the folder of an INF file of the host.
    ///
    /// # Errors
    /// [`InfError`] naming the file that could not be read.
    pub fn read(inf: &std::path::Path) -> Result<Self, InfError> {
        let failed = |path: &std::path::Path, error: std::io::Error| InfError {
            file: path.display().to_string(),
            line: None,
            problem: format!("cannot be read: {error}"),
            remedy: "give the path of an INF file whose payload lies beside it".to_owned(),
        };
        let folder = match inf.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => std::path::Path::new("."),
        };
        let name = inf.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut files = BTreeMap::new();
        files.insert(name.to_lowercase(), std::fs::read(inf).map_err(|error| failed(inf, error))?);
        for entry in std::fs::read_dir(folder).map_err(|error| failed(folder, error))? {
            let path = entry.map_err(|error| failed(folder, error))?.path();
            let wanted = path
                .extension()
                .is_some_and(|kind| ["sys", "cat"].iter().any(|known| kind.eq_ignore_ascii_case(known)));
            if wanted {
                let key =
                    path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
                files.insert(key, std::fs::read(&path).map_err(|error| failed(&path, error))?);
            }
        }
        Ok(Self { inf: name, files, origin: Some(folder.to_owned()) })
    }
}

impl System {
    /// A freshly installed system without third-party drivers.
    pub fn new(release: Release) -> Self {
        let mut registry = Registry::default();
        for path in [SERVICES, ENUM, CLASS] {
            registry.create(path);
        }
        Self { files: Files::default(), registry, release, packages: Vec::new(), symbols: BTreeMap::new() }
    }

    /// The staged packages, oldest first.
    pub fn packages(&self) -> &[Package] {
        &self.packages
    }

    /// Checks a package, copies it to the driver store and, when it is a primitive driver's, installs it.
    /// Staging the same package again changes nothing.
    ///
    /// # Errors
    /// Everything that is wrong with the INF or its payload; the system is then as before.
    pub fn stage(&mut self, source: &Source) -> Result<&Package, InfError> {
        let bytes = source.files.get(&source.inf.to_lowercase()).map(Vec::as_slice).unwrap_or_default();
        let inf = Inf::parse(&source.inf, bytes)?;
        let version = inf.version()?;
        let models = inf.models(self.release)?;
        let primitive = primitive_section(&inf).is_some();
        if models.is_empty() && !primitive {
            return Err(inf.error(
                None,
                "the INF serves no device of this platform and has no [DefaultInstall.NTamd64]",
                format!("add a models section for NTamd64 that applies to build {}", self.release.build),
            ));
        }
        let mut plans = Vec::new();
        for model in &models {
            let plan = inf.plan(&model.install)?;
            if !plan.services.iter().any(|service| service.associated) {
                return Err(inf.error(
                    Some(model.line),
                    format!("[{}] makes no service the device's function driver", plan.section),
                    format!("add [{}.Services] with AddService = name, 0x00000002, section", plan.section),
                ));
            }
            plans.push(plan);
        }
        if primitive {
            plans.push(inf.plan("DefaultInstall")?);
        }
        let folder = store_folder(&source.inf, &source.files);
        if self.packages.iter().any(|package| package.folder == folder) {
            return Ok(self.package(&folder));
        }
        for plan in &plans {
            check_payload(&inf, plan, source)?;
        }

        self.files.write(&format!(r"{folder}\{}", source.inf), bytes.to_vec());
        let copied = plans.iter().flat_map(|plan| &plan.files).map(|file| file.source.to_lowercase());
        for name in copied.chain(Some(version.catalog.to_lowercase())) {
            if let Some(bytes) = source.files.get(&name) {
                self.files.write(&format!(r"{folder}\{name}"), bytes.clone());
            }
        }
        for image in source.files.keys().filter(|name| name.ends_with(".sys")) {
            if let Some(origin) = &source.origin {
                self.symbols.insert(image.clone(), origin.join(image).with_extension("pdb"));
            }
        }
        let published = format!("oem{}.inf", self.packages.len());
        self.packages.push(Package { published, inf, version, models, folder: folder.clone() });
        if primitive {
            let plan = self.package(&folder).inf.plan("DefaultInstall")?;
            self.apply(&folder, &plan, None)?;
        }
        Ok(self.package(&folder))
    }

    fn package(&self, folder: &str) -> &Package {
        let found = self.packages.iter().find(|package| package.folder == folder);
        found.expect("the package was staged just before")
    }

    /// The host's file with the symbols of an image.
    pub fn symbols(&self, image: &str) -> Option<&PathBuf> {
        self.symbols.get(&files::name(image).to_lowercase())
    }

    /// The best driver for a device: lowest rank, then the newest package.
    pub fn best_driver(&self, device: &DeviceIds) -> Option<(&Package, &Model, Rank)> {
        let candidates = self.packages.iter().enumerate().flat_map(|(age, package)| {
            let ranked = package.models.iter().filter_map(move |model| {
                Some((age, package, model, rank(model, &device.hardware, &device.compatible)?))
            });
            ranked.collect::<Vec<_>>()
        });
        let best = candidates.min_by_key(|(age, _, _, rank)| (*rank, core::cmp::Reverse(*age)));
        best.map(|(_, package, model, rank)| (package, model, rank))
    }

    /// Installs the best driver on a device: service, software key, hardware key, Enum values.
    /// `None` when no staged package serves the device.
    ///
    /// # Errors
    /// What the install section names and the package lacks.
    pub fn install_device(&mut self, device: &DeviceIds) -> Result<Option<Installed>, InfError> {
        let Some((package, model, _)) = self.best_driver(device) else { return Ok(None) };
        let (package, model) = (package.clone(), model.clone());
        let plan = package.inf.plan(&model.install)?;
        let service = plan.services.iter().find(|service| service.associated);
        let service = service.map(|service| service.name.clone()).unwrap_or_default();

        let key = format!(r"{ENUM}\{}", device.instance);
        let software = match self.registry.text(&key, "Driver") {
            Some(driver) => driver.to_owned(),
            None => self.new_software_key(&package.version.class_guid),
        };
        let values = [
            ("DeviceDesc", Value::Sz(model.description.clone())),
            ("HardwareID", Value::MultiSz(device.hardware.clone())),
            ("CompatibleIDs", Value::MultiSz(device.compatible.clone())),
            ("ClassGUID", Value::Sz(package.version.class_guid.clone())),
            ("Driver", Value::Sz(software.clone())),
            ("Service", Value::Sz(service.clone())),
            ("Mfg", Value::Sz(package.version.provider.clone())),
        ];
        for (name, value) in values {
            self.registry.set(&key, name, value);
        }
        let software = format!(r"{CLASS}\{software}");
        let values = [
            ("InfPath", package.published.clone()),
            ("InfSection", model.install.clone()),
            ("MatchingDeviceId", model.ids.first().cloned().unwrap_or_default()),
            (
                "DriverVersion",
                package.version.driver_ver.split_once(',').map_or("", |(_, version)| version).to_owned(),
            ),
            ("ProviderName", package.version.provider.clone()),
        ];
        for (name, value) in values {
            self.registry.set(&software, name, Value::Sz(value));
        }
        self.apply(&package.folder, &plan, Some((&key, &software)))?;
        Ok(Some(Installed {
            service,
            description: model.description,
            published: package.published,
            driver_ver: package.version.driver_ver,
        }))
    }

    /// Carries out a plan. `device` holds the paths of the device's Enum key and software key.
    fn apply(&mut self, folder: &str, plan: &Plan, device: Option<(&str, &str)>) -> Result<(), InfError> {
        let inf = self.package(folder).inf.clone();
        let published = self.package(folder).published.clone();
        for file in &plan.files {
            let source = format!(r"{folder}\{}", file.source);
            let bytes = self.files.read(&source).map(|found| found.bytes.clone()).unwrap_or_default();
            let target = directory(&inf, &file.directory, folder, file.line)?;
            self.files.write(&format!(r"{target}\{}", file.target), bytes);
        }
        if let Some((enum_key, software_key)) = device {
            self.write_registry(&plan.registry, software_key);
            // Some values of the hardware section are properties of the device, kept in the Enum key itself.
            let (properties, parameters): (Vec<_>, Vec<_>) = plan
                .hardware
                .iter()
                .cloned()
                .partition(|line| line.subkey.is_empty() && is_property(&line.name));
            self.write_registry(&properties, enum_key);
            self.write_registry(&parameters, &format!(r"{enum_key}\Device Parameters"));
        } else if let Some(line) = plan.registry.iter().find(|line| line.root == "HKR") {
            return Err(inf.error(
                Some(line.line),
                "HKR stands for nothing in [DefaultInstall]",
                "write the value in the service's AddReg section",
            ));
        }
        for service in &plan.services {
            let key = format!(r"{SERVICES}\{}", service.name);
            let image = format!(
                r"{}\{}",
                directory(&inf, &service.binary.0, folder, service.line)?,
                service.binary.1
            );
            let image = image.replacen(files::SYSTEM_ROOT, r"\SystemRoot", 1);
            self.registry.set(&key, "Type", Value::Dword(service.service_type));
            self.registry.set(&key, "Start", Value::Dword(service.start_type));
            self.registry.set(&key, "ErrorControl", Value::Dword(service.error_control));
            self.registry.set(&key, "ImagePath", Value::ExpandSz(image));
            self.registry.set(&key, "Owners", Value::MultiSz(vec![published.clone()]));
            if !service.display_name.is_empty() {
                self.registry.set(&key, "DisplayName", Value::Sz(service.display_name.clone()));
            }
            self.write_registry(&service.registry, &key);
        }
        if let Some((service, version)) = &plan.kmdf {
            let key = format!(r"{SERVICES}\{service}\Parameters\Wdf");
            self.registry.set(&key, "KmdfLibraryVersion", Value::Sz(version.clone()));
        }
        Ok(())
    }

    /// `AddReg` lines with their roots resolved; `relative` is what HKR means.
    fn write_registry(&mut self, lines: &[AddReg], relative: &str) {
        for line in lines {
            let root = match line.root.as_str() {
                "HKR" => relative,
                "HKLM" => r"\Registry\Machine",
                "HKCR" => r"\Registry\Machine\Software\Classes",
                "HKU" => r"\Registry\User",
                _ => r"\Registry\User\.Default",
            };
            let path =
                if line.subkey.is_empty() { root.to_owned() } else { format!(r"{root}\{}", line.subkey) };
            match &line.value {
                Some(_) if line.keep && self.registry.value(&path, &line.name).is_some() => {}
                Some(value) => self.registry.set(&path, &line.name, value.clone()),
                None => drop(self.registry.create(&path)),
            }
        }
    }

    /// `{class}\0000`, the next free number.
    fn new_software_key(&mut self, class: &str) -> String {
        let taken = self.registry.key(&format!(r"{CLASS}\{class}")).map_or(0, |key| key.keys().count());
        let name = format!(r"{class}\{taken:04}");
        self.registry.create(&format!(r"{CLASS}\{name}"));
        name
    }
}

/// Values that are device properties (Learn, "INF AddReg Directive": special value entry names).
fn is_property(name: &str) -> bool {
    let known =
        ["Security", "DeviceCharacteristics", "DeviceType", "Exclusive", "UpperFilters", "LowerFilters"];
    known.iter().any(|property| property.eq_ignore_ascii_case(name))
}

/// `[DefaultInstall.NTamd64]` or an undecorated one.
fn primitive_section(inf: &Inf) -> Option<&str> {
    let section = ["DefaultInstall.NTamd64", "DefaultInstall"].iter().find_map(|name| inf.section(name))?;
    Some(&section.name)
}

/// The directory a dirid stands for.
fn directory(inf: &Inf, directory: &Directory, folder: &str, line: u32) -> Result<String, InfError> {
    let base = match directory.dirid {
        10 => files::SYSTEM_ROOT,
        11 => r"C:\Windows\System32",
        12 => files::DRIVERS,
        13 => folder,
        other => {
            return Err(inf.error(
                Some(line),
                format!("directory identifier {other} is not supported"),
                "use 13 (driver store) or 12 (System32\\Drivers)",
            ));
        }
    };
    Ok(if directory.subdirectory.is_empty() {
        base.to_owned()
    } else {
        format!(r"{base}\{}", directory.subdirectory)
    })
}

/// Every file a plan copies must be listed in `[SourceDisksFiles]` and lie in the package; every service's image must
/// be one of them.
fn check_payload(inf: &Inf, plan: &Plan, source: &Source) -> Result<(), InfError> {
    for CopyFile { source: file, directory: to, line, .. } in &plan.files {
        directory(inf, to, "", *line)?;
        let listed = ["SourceDisksFiles.amd64", "SourceDisksFiles"].iter().any(|name| {
            inf.section(name).is_some_and(|section| section.entries.iter().any(|entry| entry.is(file)))
        });
        if !listed {
            return Err(inf.error(
                Some(*line),
                format!("{file} is copied but not listed in [SourceDisksFiles]"),
                format!("add `{file} = 1`"),
            ));
        }
        if !source.files.contains_key(&file.to_lowercase()) {
            return Err(inf.error(
                Some(*line),
                format!("the payload {file} does not lie beside the INF"),
                "build the driver and copy it there",
            ));
        }
    }
    for service in &plan.services {
        let (place, image) = &service.binary;
        let copied = plan.files.iter().any(|file| {
            file.directory.dirid == place.dirid
                && file.directory.subdirectory.eq_ignore_ascii_case(&place.subdirectory)
                && file.target.eq_ignore_ascii_case(image)
        });
        if !copied {
            return Err(inf.error(
                Some(service.line),
                format!("the image {image} of service {} is not copied by this INF", service.name),
                "let CopyFiles and ServiceBinary name the same directory",
            ));
        }
    }
    Ok(())
}

/// `name.inf_amd64_<hash>`: the hash covers the INF and the payload, so that a changed package is another package
/// (Windows uses a hash of its own; FNV-1a is our choice).
fn store_folder(inf: &str, files: &BTreeMap<String, Vec<u8>>) -> String {
    let all = files.iter().flat_map(|(name, bytes)| name.as_bytes().iter().chain(bytes));
    let hash = all.fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    format!(r"{}\{}_amd64_{hash:016x}", files::FILE_REPOSITORY, inf.to_lowercase())
}
