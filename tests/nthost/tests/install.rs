//! Driver packages: what gets installed where, and what a wrong package is told.

#[path = "common/inf.rs"]
#[allow(dead_code, reason = "other test programs use the rest")]
mod inf;

use std::collections::BTreeMap;

use nthost::files::DRIVERS;
use nthost::inf::package::Release;
use nthost::install::{DeviceIds, Source, System};
use nthost::registry::{CLASS, ENUM, SERVICES, Value};

const DEVICE_INF: &str = r#"
[Version]
Signature = "$WINDOWS NT$"
Class     = System
ClassGuid = {4d36e97d-e325-11ce-bfc1-08002be10318}
Provider  = %Maker%
CatalogFile = engine.cat
DriverVer = 11/27/2026,1.2.3.4

[DestinationDirs]
DefaultDestDir = 13

[SourceDisksNames]
1 = %Disk%

[SourceDisksFiles]
engine.sys = 1

[Manufacturer]
%Maker% = Models, NTamd64.10.0...16299, NTamd64.10.0...99999

[Models.NTamd64.10.0...16299]
%Engine% = Engine, PCI\VEN_8086&DEV_6F20
%Generic% = Generic, PCI\VEN_8086&CC_0880

[Models.NTamd64.10.0...99999]
%Engine% = Nowhere, PCI\VEN_8086&DEV_6F20

[Engine.NTamd64]
CopyFiles = Files
AddReg = Software

[Generic.NTamd64]
CopyFiles = Files

[Generic.NTamd64.Services]
AddService = engine, 2, Service

[Files]
engine.sys

[Software]
HKR,,Colour,,"red"

[Engine.NTamd64.HW]
AddReg = Hardware

[Hardware]
HKR,"Interrupt Management",,0x00000010
HKR,"Interrupt Management\MessageSignaledInterruptProperties",MSISupported,0x00010001,1
HKR,,Security,,"D:P(A;;GA;;;SY)"

[Engine.NTamd64.Services]
AddService = engine, 0x00000002, Service

[Service]
DisplayName   = %Engine%
ServiceType   = 1
StartType     = 3
ErrorControl  = 1
ServiceBinary = %13%\engine.sys
AddReg        = Parameters

[Parameters]
HKR,Parameters,Depth,0x00010001,0x40

[Engine.NTamd64.Wdf]
KmdfService = engine, Wdf

[Wdf]
KmdfLibraryVersion = 1.15

[Strings]
Maker = "The makers"
Engine = "An engine"
Generic = "Any engine"
Disk = "Disk"
"#;

fn system() -> System {
    System::new(Release { major: 10, minor: 0, build: 19041 })
}

fn source(inf: &str, text: &str, payload: &[&str]) -> Source {
    let mut files = BTreeMap::new();
    files.insert(inf.to_owned(), text.as_bytes().to_vec());
    for name in payload {
        files.insert((*name).to_owned(), name.as_bytes().to_vec());
    }
    Source { inf: inf.to_owned(), files, origin: None }
}

fn device() -> DeviceIds {
    DeviceIds {
        instance: r"PCI\VEN_8086&DEV_6F20&SUBSYS_00000000&REV_01\3&11583659&0&20".to_owned(),
        hardware: vec![r"PCI\VEN_8086&DEV_6F20&REV_01".to_owned(), r"PCI\VEN_8086&DEV_6F20".to_owned()],
        compatible: vec![r"PCI\VEN_8086&CC_0880".to_owned()],
    }
}

/// Stages the device INF with one text replaced and returns the error that must follow.
fn complaint(from: &str, to: &str) -> String {
    assert!(DEVICE_INF.contains(from), "{from}");
    let source = source("engine.inf", &DEVICE_INF.replacen(from, to, 1), &["engine.sys"]);
    let mut system = system();
    let error = system.stage(&source).expect_err("the package is wrong").to_string();
    assert!(system.packages().is_empty());
    error
}

#[test]
fn a_device_gets_its_service_its_keys_and_its_image_from_the_driver_store() {
    let mut system = system();
    let folder = system.stage(&source("engine.inf", DEVICE_INF, &["engine.sys"])).unwrap().folder.clone();
    let installed = system.install_device(&device()).unwrap().unwrap();

    assert_eq!((installed.service.as_str(), installed.description.as_str()), ("engine", "An engine"));
    let service = format!(r"{SERVICES}\engine");
    let image = system.registry.text(&service, "ImagePath").unwrap();
    assert_eq!(image, format!(r"{folder}\engine.sys").replace(r"C:\Windows", r"\SystemRoot"));
    assert_eq!(system.files.read(image).unwrap().bytes, b"engine.sys");
    assert_eq!(system.registry.dword(&service, "Start"), Some(3));
    assert_eq!(system.registry.dword(&format!(r"{service}\Parameters"), "Depth"), Some(0x40));
    assert_eq!(
        system.registry.text(&format!(r"{service}\Parameters\Wdf"), "KmdfLibraryVersion"),
        Some("1.15")
    );

    let key = format!(r"{ENUM}\{}", device().instance);
    assert_eq!(system.registry.text(&key, "Service"), Some("engine"));
    let msi = format!(r"{key}\Device Parameters\Interrupt Management\MessageSignaledInterruptProperties");
    assert_eq!(system.registry.value(&msi, "MSISupported"), Some(&Value::Dword(1)));
    assert_eq!(system.registry.text(&key, "Security"), Some("D:P(A;;GA;;;SY)"));
    let software = system.registry.text(&key, "Driver").unwrap();
    assert_eq!(software, r"{4d36e97d-e325-11ce-bfc1-08002be10318}\0000");
    assert_eq!(system.registry.text(&format!(r"{CLASS}\{software}"), "Colour"), Some("red"));
}

#[test]
fn a_primitive_driver_is_installed_when_it_is_staged() {
    let mut system = system();
    system.stage(&source("library.inf", &inf::service("library", 12), &["library.sys"])).unwrap();
    let image = system.registry.text(&format!(r"{SERVICES}\library"), "ImagePath");
    assert_eq!(image, Some(r"\SystemRoot\System32\drivers\library.sys"));
    assert_eq!(system.files.named("library.sys").len(), 2, "the store's copy and the one in {DRIVERS}");
}

#[test]
fn a_hardware_id_beats_a_compatible_id_and_a_stranger_gets_nothing() {
    let mut system = system();
    system.stage(&source("engine.inf", DEVICE_INF, &["engine.sys"])).unwrap();
    assert_eq!(system.best_driver(&device()).unwrap().1.description, "An engine");
    let mut other = device();
    other.hardware = vec![r"PCI\VEN_8086&DEV_0E20".to_owned()];
    assert_eq!(system.best_driver(&other).unwrap().1.description, "Any engine");
    other.compatible.clear();
    assert!(system.best_driver(&other).is_none());
    assert_eq!(system.install_device(&other), Ok(None));
}

#[test]
fn staging_the_same_package_twice_is_staging_it_once() {
    let mut system = system();
    let package = source("engine.inf", DEVICE_INF, &["engine.sys"]);
    system.stage(&package).unwrap();
    system.stage(&package).unwrap();
    assert_eq!(system.packages().len(), 1);
}

#[test]
fn the_newest_platform_section_that_the_release_satisfies_is_used() {
    let mut system = System::new(Release { major: 10, minor: 0, build: 14393 });
    let error = system.stage(&source("engine.inf", DEVICE_INF, &["engine.sys"])).unwrap_err().to_string();
    assert!(error.contains("serves no device of this platform"), "{error}");
    assert!(error.contains("14393"), "{error}");
}

#[test]
fn a_wrong_package_is_told_what_where_and_how_to_repair_it() {
    let cases = [
        ("\"$WINDOWS NT$\"", "\"$DOS$\"", "engine.inf:2: the signature is `$DOS$`; write Signature"),
        ("Provider  = %Maker%", "", "has no Provider; add Provider"),
        ("Provider  = %Maker%", "Provider = %Who%", "%Who% is not defined; add `Who = "),
        ("engine.sys = 1", "", "engine.sys is copied but not listed in [SourceDisksFiles]"),
        ("DefaultDestDir = 13", "", "[DestinationDirs] says nothing about DefaultDestDir"),
        ("DefaultDestDir = 13", "DefaultDestDir = 65535", "directory identifier 65535 is not supported"),
        ("CopyFiles = Files", "CopyFiles = Fils", "CopyFiles section [Fils] does not exist"),
        ("AddReg = Hardware", "AddReg = Hard", "AddReg section [Hard] does not exist"),
        ("engine, 0x00000002, Service", "engine, 2, Servce", "service section [Servce] does not exist"),
        (
            "engine, 0x00000002, Service",
            "engine, 0, Service",
            "makes no service the device's function driver",
        ),
        ("StartType     = 3", "StartType = three", "`three` is no number"),
        ("ServiceType   = 1", "", "[Service] has no ServiceType"),
        ("%13%\\engine.sys", "engine.sys", "`engine.sys` is no service binary"),
        ("KmdfLibraryVersion = 1.15", "", "gives no KmdfLibraryVersion"),
        (
            "[Models.NTamd64.10.0...16299]",
            "[Model]",
            "models section [Models.NTamd64.10.0...16299] does not exist",
        ),
        ("NTamd64.10.0...16299,", "NT$ARCH$.10.0...16299,", "still has a build variable; stamp the .inx"),
        ("[Engine.NTamd64]", "[Engine.NTarm64]", "install section [Engine] does not exist"),
    ];
    for (from, to, expected) in cases {
        let error = complaint(from, to);
        assert!(error.contains(expected), "{from} -> {to}: {error}");
    }
}

#[test]
fn a_missing_payload_file_is_named() {
    let error = system().stage(&source("engine.inf", DEVICE_INF, &[])).unwrap_err().to_string();
    assert!(error.contains("the payload engine.sys does not lie beside the INF"), "{error}");
}

#[test]
fn a_service_image_in_a_directory_nothing_is_copied_to_is_refused() {
    let text = inf::service("library", 12).replace(r"%12%\library.sys", r"%12%\sub\library.sys");
    let mut system = system();
    let error = system.stage(&source("library.inf", &text, &["library.sys"])).unwrap_err().to_string();
    assert!(error.contains("is not copied by this INF"), "{error}");
    assert!(system.packages().is_empty());
    assert!(system.files.named("library.sys").is_empty());
}
