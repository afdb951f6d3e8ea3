//! The settings of a device: what is absent, not allowed or of the wrong type leaves the default.
#![forbid(unsafe_code)]

use ioat_core::Identity;
use ioat_core::settings::{ALL, Found, Interrupts, Row, Settings};
use netdma_abi::Version;

const DEFAULTS: Settings = Settings {
    interrupts: Interrupts::AsAssigned,
    version: None,
    delay_us: 0,
    watchdog_ms: 200,
    self_test: true,
};

/// The settings of a key with these values, and the names of those that were ignored.
fn read(values: &[(&str, Found)]) -> (Settings, Vec<&'static str>) {
    let mut ignored = Vec::new();
    let find = |row: &'static Row| {
        values.iter().find(|(name, _)| *name == row.name).map_or(Found::Absent, |(_, found)| *found)
    };
    let settings = Settings::read(find, |row, _| ignored.push(row.name));
    (settings, ignored)
}

#[test]
fn an_empty_key_gives_the_defaults_and_so_does_one_that_writes_them_out() {
    assert_eq!(read(&[]), (DEFAULTS, vec![]));
    let written: Vec<_> = ALL.iter().map(|row| (row.name, Found::Number(row.default))).collect();
    assert_eq!(read(&written), (DEFAULTS, vec![]));
}

#[test]
fn every_setting_is_followed_at_both_ends_of_its_range() {
    let number = |name, value| read(&[(name, Found::Number(value))]).0;
    assert_eq!(number("InterruptKind", 1).interrupts, Interrupts::Shared);
    assert_eq!(number("InterruptKind", 2).interrupts, Interrupts::Off);
    for (value, version) in [(0x101, Version::V1_1), (0x200, Version::V2_0), (0x201, Version::V2_1)] {
        assert_eq!(number("NetDmaVersion", value).version, Some(version));
    }
    assert_eq!(number("InterruptDelayMicroseconds", 0x3FFF).delay_us, 0x3FFF);
    assert_eq!(number("WatchdogMilliseconds", 10).watchdog_ms, 10);
    assert_eq!(number("WatchdogMilliseconds", 10_000).watchdog_ms, 10_000);
    assert!(!number("SelfTest", 0).self_test);
}

#[test]
fn a_value_that_is_not_allowed_is_ignored_and_named() {
    for (name, value) in [
        ("InterruptKind", 3),
        ("NetDmaVersion", 0x100),
        ("NetDmaVersion", 0x202),
        ("InterruptDelayMicroseconds", 0x4000),
        ("WatchdogMilliseconds", 9),
        ("WatchdogMilliseconds", 10_001),
        ("SelfTest", 2),
    ] {
        assert_eq!(read(&[(name, Found::Number(value))]), (DEFAULTS, vec![name]), "{value}");
    }
    for row in ALL {
        assert_eq!(read(&[(row.name, Found::NotANumber)]), (DEFAULTS, vec![row.name]));
    }
}

#[test]
fn a_version_is_taken_only_by_an_engine_that_speaks_its_dialect() {
    for (device, version, taken) in [
        (0x1A38, Version::V1_1, true),
        (0x1A38, Version::V2_0, false),
        (0x1A38, Version::V2_1, false),
        (0x6F20, Version::V1_1, false),
        (0x6F20, Version::V2_0, true),
        (0x6F20, Version::V2_1, true),
    ] {
        let identity = Identity::of(0x8086, device, Version::V2_1).unwrap();
        let forced = identity.registered_as(version).map(|identity| identity.registered);
        assert_eq!(forced, taken.then_some(version), "{device:04x}");
    }
}
