//! The INFs against the rules of InfVerif that Learn documents, and against a second parser.
//!
//! InfVerif itself runs on Windows only. What it would say of these files is therefore not known here; the rules below are
//! those of the page "INF validation errors and warnings", with its numbers, as far as these packages touch them. Each is
//! shown to bite on a copy of an INF with one thing made wrong.

#![forbid(unsafe_code)]

mod rules;
mod second;

use nthost::inf::Inf;
use rules::{RULES, Rule};

/// The templates: three that are shipped, two of tests and guides.
const NAMES: [&str; 5] = ["netdma", "ioatdma", "netdmatest", "netdmasoft", "netdmacopy"];

/// The text of a template.
fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

fn path(name: &str) -> String {
    let folder = match name {
        "netdmasoft" => "tests/provider",
        "netdmacopy" => "tests/copy",
        _ => "inf",
    };
    format!("{}/../../{folder}/{name}.inx", env!("CARGO_MANIFEST_DIR"))
}

fn parse(name: &str, text: &str) -> Inf {
    Inf::parse(&format!("{name}.inf"), text.as_bytes()).unwrap()
}

#[test]
fn every_inf_keeps_every_rule() {
    let mut broken = Vec::new();
    for name in NAMES {
        let inf = parse(name, &text(name));
        for rule in RULES {
            if let Err(reason) = (rule.check)(&inf) {
                broken.push(format!("{name}.inf: {} {}: {reason}", rule.code, rule.title));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

/// The rule with this number.
fn rule(code: u32) -> &'static Rule {
    RULES.iter().find(|rule| rule.code == code).unwrap()
}

/// A copy of `name`'s INF with `from` replaced by `to` breaks rule `code`, which says `because`; no other rule notices,
/// except those in `also`.
#[track_caller]
fn breaks(name: &str, from: &str, to: &str, code: u32, because: &str, also: &[u32]) {
    let good = text(name);
    assert!(good.contains(from), "{name}.inx has no {from:?}");
    let inf = parse(name, &good.replace(from, to));
    let reason = (rule(code).check)(&inf).expect_err("the rule noticed nothing");
    assert!(reason.contains(because), "{reason:?} does not say {because:?}");
    for other in RULES.iter().filter(|other| other.code != code && !also.contains(&other.code)) {
        assert_eq!((other.check)(&inf), Ok(()), "{} {} noticed it too", other.code, other.title);
    }
}

#[test]
fn a_version_section_that_says_too_little_is_refused() {
    breaks("ioatdma", "\"$WINDOWS NT$\"", "\"$CHICAGO$\"", 1001, "$CHICAGO$", &[]);
    breaks("ioatdma", "CatalogFile = ioatdma.cat", "", 1233, "CatalogFile", &[]);
    breaks("ioatdma", "CatalogFile = ioatdma.cat", "CatalogFile = other.cat", 1233, "other.cat", &[]);
    breaks("ioatdma", "DriverVer ", "DriverVersion ", 1006, "DriverVer", &[]);
    breaks("ioatdma", "DriverVer   = 11/27/2026", "DriverVer   = 2026-11-27", 1006, "2026-11-27", &[]);
    breaks("netdma", "PnpLockdown = 1", "PnpLockdown = 0", 1324, "PnpLockdown", &[]);
    breaks("netdma", "Provider = \"NetDMA for Windows\"", "Provider = Microsoft", 1204, "Microsoft", &[]);
}

#[test]
fn a_reference_to_nothing_and_a_section_without_reference_are_refused() {
    breaks(
        "ioatdma",
        "CopyFiles = ioatdma_Files",
        "CopyFiles = ioatdma.sys",
        1203,
        "ioatdma.sys",
        &[1230, 2083],
    );
    breaks("ioatdma", "ioatdma,ioatdma_Wdf", "ioatdma,ioatdma_Kmdf", 1203, "ioatdma_Kmdf", &[2083, 1298]);
    breaks("netdmatest", "[Strings]", "[Forgotten]\na=1\n[Strings]", 2083, "Forgotten", &[]);
    breaks("netdmatest", "AddReg = netdmatest_Device_AddReg", "", 2083, "netdmatest_Device_AddReg", &[]);
}

#[test]
fn a_section_that_two_kinds_of_directive_name_is_refused() {
    breaks(
        "ioatdma",
        "AddReg = ioatdma_Device_AddReg",
        "AddReg = ioatdma_Device_AddReg,ioatdma_Files",
        1205,
        "ioatdma_Files",
        // A file's name is no registry line either.
        &[1304],
    );
}

#[test]
fn a_file_without_a_source_is_refused() {
    breaks("netdma", "netdma.sys = 1", "other.sys = 1", 1230, "netdma.sys", &[]);
}

#[test]
fn a_device_driver_and_a_primitive_driver_are_not_mixed() {
    breaks("netdma", "[Strings]", "[Manufacturer]\n[Strings]", 1212, "both", &[1298]);
    breaks("ioatdma", "[Manufacturer]", "[Maker]", 1297, "neither", &[2083, 1203, 1298]);
}

#[test]
fn a_device_without_its_service_is_refused() {
    breaks(
        "ioatdma",
        "AddService = ioatdma,0x00000002,",
        "AddService = ioatdma,,",
        1296,
        "ioatdma_Device.NT",
        &[],
    );
}

#[test]
fn legacy_directives_and_roots_are_refused() {
    breaks(
        "ioatdma",
        "CopyFiles = ioatdma_Files",
        "CopyFiles = ioatdma_Files\nDelReg = ioatdma_Files",
        1302,
        "DelReg",
        &[1205],
    );
    breaks(
        "ioatdma",
        "[ioatdma_Device.NT.HW]",
        "[ioatdma_Device.NT.CoInstallers]\n[ioatdma_Device.NT.HW]",
        1300,
        "CoInstallers",
        &[2083],
    );
    breaks("netdma", "HKR,Parameters", "HKLM,Parameters", 1304, "HKLM", &[]);
    breaks(
        "netdma",
        "HKR,Parameters",
        "HKLM,\"SYSTEM\\CurrentControlSet\\Services\\netdma\"",
        1221,
        "Services",
        &[1304],
    );
}

#[test]
fn a_file_outside_the_driver_store_is_refused_except_the_one_that_must_be() {
    breaks("ioatdma", "DefaultDestDir = 13", "DefaultDestDir = 12", 1306, "12", &[1321]);
    breaks("ioatdma", "ServiceBinary = %13%", "ServiceBinary = %12%", 1321, "12", &[]);
    breaks("netdma", "DefaultDestDir = 12", "DefaultDestDir = 11", 1306, "11", &[1321]);
}

#[test]
fn another_version_of_the_framework_is_refused() {
    breaks("ioatdma", "KmdfLibraryVersion = 1.15", "KmdfLibraryVersion = 1.31", 1298, "1.31", &[]);
}

#[test]
fn a_string_that_is_not_defined_is_refused() {
    let broken = text("netdma").replace("%Service%", "%Svc%");
    let error = Inf::parse("netdma.inf", broken.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("Svc"), "1235: {error}");
}

#[test]
fn a_second_parser_reads_the_same() {
    for name in NAMES {
        assert_eq!(second::flat(&parse(name, &text(name))), second::read(&path(name)), "{name}.inx");
    }
}
