//! The rules, with the numbers of InfVerif where it has one.

use nthost::inf::{Entry, Inf};

/// A rule.
pub struct Rule {
    /// InfVerif's number for breaking it; where the page lists none, the number of the nearest one, said in the title.
    pub code: u32,
    /// What it is about.
    pub title: &'static str,
    /// What is wrong, if anything.
    pub check: fn(&Inf) -> Result<(), String>,
}

/// Every rule.
pub const RULES: &[Rule] = &[
    Rule { code: 1001, title: "signature", check: signature },
    Rule { code: 1006, title: "date and version", check: driver_version },
    Rule { code: 1203, title: "section not found", check: references_exist },
    Rule { code: 1204, title: "provider", check: provider },
    Rule { code: 1205, title: "section of two directives", check: referenced_by_one_directive },
    Rule { code: 1212, title: "device or primitive driver", check: not_both_kinds },
    Rule { code: 1221, title: "service key by HKR", check: no_service_key },
    Rule { code: 1230, title: "file without a source", check: files_have_sources },
    Rule { code: 1233, title: "catalogue", check: catalogue },
    Rule { code: 1296, title: "service of the device", check: associated_service },
    Rule { code: 1297, title: "no device at all", check: some_kind },
    // InfVerif has no rule for this one: D7 of docs/architecture.md.
    Rule { code: 1298, title: "framework version (ours)", check: framework },
    Rule { code: 1300, title: "legacy section", check: no_legacy_section },
    Rule { code: 1302, title: "legacy directive", check: no_legacy_directive },
    Rule { code: 1304, title: "registry root", check: relative_roots },
    Rule { code: 1306, title: "destination", check: destinations },
    Rule { code: 1321, title: "service binary where its file is", check: binaries },
    Rule { code: 1324, title: "lockdown", check: lockdown },
    Rule { code: 2083, title: "section not used", check: sections_are_used },
];

/// The only folders files may go to: the driver store, and for the export driver System32\Drivers (D14).
fn home(inf: &Inf) -> &'static str {
    if inf.file == "netdma.inf" { "12" } else { "13" }
}

fn signature(inf: &Inf) -> Result<(), String> {
    match inf.value("Version", "Signature") {
        Some(text) if text.eq_ignore_ascii_case("$Windows NT$") => Ok(()),
        other => Err(format!("[Version] has the signature {other:?}")),
    }
}

/// `mm/dd/yyyy,w.x.y.z`.
fn driver_version(inf: &Inf) -> Result<(), String> {
    let section = inf.section("Version").ok_or("no [Version]")?;
    let entry = section.entries.iter().find(|entry| entry.is("DriverVer")).ok_or("no DriverVer")?;
    let numbers =
        |text: &str, by: char| -> Vec<Option<u32>> { text.split(by).map(|part| part.parse().ok()).collect() };
    let date = matches!(numbers(entry.value(0), '/')[..],
        [Some(1..=12), Some(1..=31), Some(2006..)] if entry.value(0).len() == 10);
    let version = matches!(
        numbers(entry.value(1), '.')[..],
        [Some(0..=65535), Some(0..=65535), Some(0..=65535), Some(0..=65535)]
    );
    if date && version { Ok(()) } else { Err(format!("DriverVer is {:?}", entry.values)) }
}

fn provider(inf: &Inf) -> Result<(), String> {
    match inf.value("Version", "Provider") {
        None | Some("") => Err("no Provider".to_owned()),
        Some(name) if name.eq_ignore_ascii_case("Microsoft") => Err("the provider is Microsoft".to_owned()),
        Some(_) => Ok(()),
    }
}

/// One reference from a directive to a section.
struct Reference {
    directive: String,
    section: String,
}

/// Every reference that the INF's directives make.
fn references(inf: &Inf) -> Vec<Reference> {
    let mut found = Vec::new();
    for section in inf.sections() {
        for entry in &section.entries {
            let Some(key) = &entry.key else { continue };
            let named: Vec<&str> = match key.to_ascii_lowercase().as_str() {
                "copyfiles" | "addreg" | "delreg" | "delfiles" => {
                    entry.values.iter().map(String::as_str).filter(|name| !name.starts_with('@')).collect()
                }
                "addservice" => vec![entry.value(2)],
                "kmdfservice" => vec![entry.value(1)],
                _ => continue,
            };
            found.extend(
                named
                    .into_iter()
                    .filter(|name| !name.is_empty())
                    .map(|name| Reference { directive: key.clone(), section: name.to_owned() }),
            );
        }
    }
    for (models, install) in models(inf) {
        found.push(Reference { directive: "Manufacturer".to_owned(), section: models });
        found
            .extend(install.into_iter().map(|section| Reference { directive: "Models".to_owned(), section }));
    }
    found
}

/// The models sections with the install sections their lines name, decorated as they stand in the file.
fn models(inf: &Inf) -> Vec<(String, Vec<String>)> {
    let lines = inf.section("Manufacturer").map(|section| section.entries.as_slice()).unwrap_or_default();
    lines
        .iter()
        .flat_map(|line| {
            line.values[1..].iter().map(move |decoration| format!("{}.{decoration}", line.value(0)))
        })
        .map(|name| {
            let mut install: Vec<String> = inf
                .section(&name)
                .map(|section| section.entries.iter().map(|entry| format!("{}.NT", entry.value(0))).collect())
                .unwrap_or_default();
            install.dedup();
            (name, install)
        })
        .collect()
}

fn references_exist(inf: &Inf) -> Result<(), String> {
    match references(inf).iter().find(|reference| inf.section(&reference.section).is_none()) {
        Some(missing) => Err(format!("{} names [{}]", missing.directive, missing.section)),
        None => Ok(()),
    }
}

fn referenced_by_one_directive(inf: &Inf) -> Result<(), String> {
    let all = references(inf);
    let clash = all.iter().find_map(|one| {
        all.iter().find(|other| {
            other.section.eq_ignore_ascii_case(&one.section)
                && !other.directive.eq_ignore_ascii_case(&one.directive)
        })
    });
    match clash {
        Some(other) => {
            Err(format!("[{}] is named by {} and another directive", other.section, other.directive))
        }
        None => Ok(()),
    }
}

/// Sections that Windows looks for by name, and those that belong to an install section by their extension.
fn is_known_by_name(name: &str) -> bool {
    const FIXED: [&str; 6] =
        ["Version", "Strings", "SourceDisksNames", "SourceDisksFiles", "DestinationDirs", "Manufacturer"];
    const EXTENSIONS: [&str; 3] = [".HW", ".Services", ".Wdf"];
    let name = name.to_ascii_lowercase();
    let base = EXTENSIONS
        .iter()
        .find_map(|extension| name.strip_suffix(&extension.to_ascii_lowercase()))
        .unwrap_or(&name);
    FIXED.iter().any(|fixed| name.eq_ignore_ascii_case(fixed))
        || base == "defaultinstall.ntamd64"
        || base != name
}

fn sections_are_used(inf: &Inf) -> Result<(), String> {
    let references = references(inf);
    let used = |name: &str| {
        is_known_by_name(name)
            || references.iter().any(|reference| reference.section.eq_ignore_ascii_case(name))
    };
    match inf.sections().iter().find(|section| !used(&section.name)) {
        Some(section) => Err(format!("nothing names [{}]", section.name)),
        None => Ok(()),
    }
}

fn not_both_kinds(inf: &Inf) -> Result<(), String> {
    if inf.section("Manufacturer").is_some() && inf.section("DefaultInstall.NTamd64").is_some() {
        Err("both [Manufacturer] and [DefaultInstall]".to_owned())
    } else {
        Ok(())
    }
}

fn some_kind(inf: &Inf) -> Result<(), String> {
    let devices = models(inf).iter().any(|(_, install)| !install.is_empty());
    if devices || inf.section("DefaultInstall.NTamd64").is_some() {
        Ok(())
    } else {
        Err("neither a model nor [DefaultInstall.NTamd64]".to_owned())
    }
}

/// Every line of the sections that AddReg names.
fn registry_lines(inf: &Inf) -> Vec<Entry> {
    let sections =
        references(inf).into_iter().filter(|reference| reference.directive.eq_ignore_ascii_case("AddReg"));
    sections
        .filter_map(|reference| Some(inf.section(&reference.section)?.entries.clone()))
        .flatten()
        .collect()
}

fn relative_roots(inf: &Inf) -> Result<(), String> {
    match registry_lines(inf).iter().find(|line| line.value(0) != "HKR") {
        Some(line) => Err(format!("line {} writes to {}", line.line, line.value(0))),
        None => Ok(()),
    }
}

fn no_service_key(inf: &Inf) -> Result<(), String> {
    let services = |line: &&Entry| line.value(1).to_ascii_lowercase().contains("currentcontrolset\\services");
    match registry_lines(inf).iter().find(services) {
        Some(line) => Err(format!("line {} writes to {}", line.line, line.value(1))),
        None => Ok(()),
    }
}

/// The names of all files that are copied, with the section that copies each.
fn copied(inf: &Inf) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for entry in
        inf.sections().iter().flat_map(|section| &section.entries).filter(|entry| entry.is("CopyFiles"))
    {
        for name in &entry.values {
            match name.strip_prefix('@') {
                Some(file) => files.push((file.to_owned(), "DefaultDestDir".to_owned())),
                None => files.extend(
                    inf.section(name)
                        .into_iter()
                        .flat_map(|section| &section.entries)
                        .map(|line| (line.value(0).to_owned(), name.clone())),
                ),
            }
        }
    }
    files
}

fn files_have_sources(inf: &Inf) -> Result<(), String> {
    let files = copied(inf);
    let own = inf.file.replace(".inf", ".sys");
    if !files.iter().any(|(file, _)| *file == own) {
        return Err(format!("{own} is not copied"));
    }
    match files.iter().find(|(file, _)| inf.value("SourceDisksFiles", file).is_none()) {
        Some((file, _)) => Err(format!("{file} is not in [SourceDisksFiles]")),
        None => Ok(()),
    }
}

fn catalogue(inf: &Inf) -> Result<(), String> {
    match inf.value("Version", "CatalogFile") {
        None => Err("no CatalogFile".to_owned()),
        Some(name) if name == inf.file.replace(".inf", ".cat") => Ok(()),
        Some(name) => Err(format!("the catalogue is {name}")),
    }
}

/// Each install section of a device has a service that is its function driver: flag 2, SPSVCINST_ASSOCSERVICE.
fn associated_service(inf: &Inf) -> Result<(), String> {
    for install in models(inf).into_iter().flat_map(|(_, install)| install) {
        let services = inf.section(&format!("{install}.Services"));
        let associated = services.is_some_and(|section| {
            section.entries.iter().any(|entry| entry.is("AddService") && number(entry.value(1)) & 2 != 0)
        });
        if !associated {
            return Err(format!("[{install}] has no associated service"));
        }
    }
    Ok(())
}

fn number(text: &str) -> u32 {
    match text.strip_prefix("0x") {
        Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).unwrap_or(0),
        None => text.parse().unwrap_or(0),
    }
}

/// Device drivers bind KMDF 1.15. The export driver has no device and no such section.
fn framework(inf: &Inf) -> Result<(), String> {
    let versions: Vec<&str> = inf
        .sections()
        .iter()
        .flat_map(|section| &section.entries)
        .filter(|entry| entry.is("KmdfLibraryVersion"))
        .map(|entry| entry.value(0))
        .collect();
    let wanted: &[&str] = if inf.section("Manufacturer").is_some() { &["1.15"] } else { &[] };
    if versions == wanted { Ok(()) } else { Err(format!("KmdfLibraryVersion is {versions:?}")) }
}

fn no_legacy_section(inf: &Inf) -> Result<(), String> {
    const LEGACY: [&str; 5] =
        [".CoInstallers", ".LogConfigOverride", ".FactDef", ".Interfaces", "ClassInstall32"];
    let legacy = |name: &str| {
        LEGACY.iter().find(|old| name.to_ascii_lowercase().contains(&old.to_ascii_lowercase())).copied()
    };
    match inf.sections().iter().find_map(|section| legacy(&section.name)) {
        Some(old) => Err(format!("a section of the kind {old}")),
        None => Ok(()),
    }
}

/// The directives that the page "Using a Universal INF File" rules out.
fn no_legacy_directive(inf: &Inf) -> Result<(), String> {
    const LEGACY: [&str; 14] = [
        "BitReg",
        "DelFiles",
        "DelReg",
        "DelService",
        "DelProperty",
        "Ini2Reg",
        "LogConfig",
        "ProfileItems",
        "RegisterDlls",
        "RenFiles",
        "UnregisterDlls",
        "UpdateInis",
        "UpdateIniFields",
        "CopyINF",
    ];
    let entries = inf.sections().iter().flat_map(|section| &section.entries);
    match entries.filter_map(|entry| LEGACY.iter().find(|old| entry.is(old))).next() {
        Some(old) => Err(format!("the directive {old}")),
        None => Ok(()),
    }
}

fn destinations(inf: &Inf) -> Result<(), String> {
    for (file, section) in copied(inf) {
        let folder = inf
            .value("DestinationDirs", &section)
            .or_else(|| inf.value("DestinationDirs", "DefaultDestDir"))
            .unwrap_or("nowhere");
        if folder != home(inf) {
            return Err(format!("{file} goes to {folder}, not to {}", home(inf)));
        }
    }
    Ok(())
}

/// A service's binary is the file that the package copies.
fn binaries(inf: &Inf) -> Result<(), String> {
    let wanted = format!("%{}%\\{}", home(inf), inf.file.replace(".inf", ".sys"));
    let copied = inf.value("DestinationDirs", "DefaultDestDir") == Some(home(inf));
    let binaries: Vec<&str> = inf
        .sections()
        .iter()
        .flat_map(|section| &section.entries)
        .filter(|entry| entry.is("ServiceBinary"))
        .map(|entry| entry.value(0))
        .collect();
    if copied && binaries == [wanted.as_str()] {
        Ok(())
    } else {
        Err(format!(
            "the binary is {binaries:?}, the file is copied to {:?}",
            inf.value("DestinationDirs", "DefaultDestDir")
        ))
    }
}

fn lockdown(inf: &Inf) -> Result<(), String> {
    match inf.value("Version", "PnpLockdown") {
        Some("1") => Ok(()),
        other => Err(format!("PnpLockdown is {other:?}")),
    }
}
