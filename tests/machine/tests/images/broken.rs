//! Each rule bites: a copy of a good image is broken in one place, and the rule for that place says so.

use object::LittleEndian as LE;
use object::pe;

use crate::file::File;
use crate::rules::{RULES, computed_checksum, exports_are};
use crate::symbols;

/// A copy of netdma.sys with `change` made to its bytes.
fn broken(change: impl FnOnce(&mut [u8], Places)) -> File {
    let mut image = File::built("netdma");
    let places = Places::of(&image);
    change(&mut image.bytes, places);
    image
}

/// Offsets in the file of what the tests change (PE specification, "COFF File Header" and "Optional Header").
struct Places {
    machine: usize,
    characteristics: usize,
    entry: usize,
    checksum: usize,
    subsystem: usize,
    dll_characteristics: usize,
    directories: usize,
    first_section: usize,
    exported_name: usize,
    identifier: usize,
}

impl Places {
    fn of(image: &File) -> Self {
        let headers = image.headers().unwrap();
        let optional = headers.checksum_at - 64;
        let find = |text: &[u8]| image.bytes.windows(text.len()).position(|bytes| bytes == text).unwrap();
        Self {
            machine: optional - 20,
            characteristics: optional - 2,
            entry: optional + 16,
            checksum: headers.checksum_at,
            subsystem: optional + 68,
            dll_characteristics: optional + 70,
            directories: optional + 112,
            first_section: optional + usize::from(headers.nt.file_header.size_of_optional_header.get(LE)),
            exported_name: find(b"NetDmaResetChannel\0"),
            identifier: find(b"RSDS") + 4,
        }
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// The verdict of the rule called `name`.
#[track_caller]
fn refused(name: &str, image: &File, because: &str) {
    let (_, rule) = RULES.iter().find(|(known, _)| *known == name).unwrap();
    let reason = rule(image).expect_err("the rule found nothing wrong");
    assert!(reason.contains(because), "{reason:?} does not say {because:?}");
}

#[test]
fn another_machine_is_refused() {
    let image = broken(|bytes, at| put(bytes, at.machine, &pe::IMAGE_FILE_MACHINE_ARM64.to_le_bytes()));
    refused("machine", &image, "0xaa64");
}

#[test]
fn another_subsystem_is_refused() {
    let image = broken(|bytes, at| put(bytes, at.subsystem, &pe::IMAGE_SUBSYSTEM_WINDOWS_CUI.to_le_bytes()));
    refused("subsystem", &image, "0x3");
}

#[test]
fn an_entry_point_that_is_not_the_stub_is_refused() {
    let entry = File::built("netdma").headers().unwrap().entry();
    let image = broken(|bytes, at| put(bytes, at.entry, &(entry + 1).to_le_bytes()));
    refused("entry point", &image, "not FxDriverEntry");
}

#[test]
fn a_wrong_checksum_and_a_changed_byte_are_refused() {
    let image = broken(|bytes, at| put(bytes, at.checksum, &[0; 4]));
    refused("checksum", &image, "checksum is 0x0");
    let image = broken(|bytes, _| *bytes.last_mut().unwrap() ^= 0xFF);
    refused("checksum", &image, "checksum is");
}

#[test]
fn every_missing_characteristic_is_refused() {
    for (bit, name) in [
        (pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT, "NX_COMPAT"),
        (pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE, "DYNAMIC_BASE"),
        (pe::IMAGE_DLLCHARACTERISTICS_HIGH_ENTROPY_VA, "HIGH_ENTROPY_VA"),
        (pe::IMAGE_DLLCHARACTERISTICS_FORCE_INTEGRITY, "FORCE_INTEGRITY"),
    ] {
        let image = broken(|bytes, at| {
            bytes[at.dll_characteristics + usize::from(bit > 0xFF)] ^= (bit | bit >> 8) as u8
        });
        refused("DLL characteristics", &image, name);
    }
    let image = broken(|bytes, at| bytes[at.dll_characteristics + 1] |= 0x40);
    refused("DLL characteristics", &image, "GUARD_CF");
}

#[test]
fn a_writable_code_section_is_refused() {
    // The flags are the last of a section header's 40 bytes; the first section is the code.
    let image = broken(|bytes, at| bytes[at.first_section + 39] |= 0x80);
    refused("sections", &image, ".text is writable and executable");
}

#[test]
fn an_entry_point_outside_the_code_is_refused() {
    let image = broken(|bytes, at| put(bytes, at.entry, &0x10_u32.to_le_bytes()));
    refused("sections", &image, "no executable section");
}

#[test]
fn missing_relocations_are_refused() {
    let image = broken(|bytes, at| put(bytes, at.directories + 5 * 8, &[0; 8]));
    refused("relocations", &image, "no relocation directory");
    let image = broken(|bytes, at| bytes[at.characteristics] |= pe::IMAGE_FILE_RELOCS_STRIPPED as u8);
    refused("relocations", &image, "stripped");
}

#[test]
fn thread_local_storage_is_refused() {
    let image = broken(|bytes, at| put(bytes, at.directories + 9 * 8, &[0, 0x10, 0, 0, 8, 0, 0, 0]));
    refused("nothing unwanted", &image, "thread-local storage");
}

#[test]
fn an_export_too_many_and_one_too_few_are_refused() {
    let image = broken(|bytes, at| put(bytes, at.exported_name, b"NetDmaRezetChannel"));
    let reason = exports_are(&image, crate::rules::INTERFACE).unwrap_err();
    assert!(reason.contains("too much: [\"NetDmaRezetChannel\"]"), "{reason}");
    assert!(reason.contains("too little: [\"NetDmaResetChannel\"]"), "{reason}");
}

#[test]
fn symbols_of_another_build_are_refused() {
    let image = broken(|bytes, at| bytes[at.identifier] ^= 1);
    assert!(symbols::belong_to(&image).unwrap_err().contains("another build"));
}

#[test]
fn a_cut_file_is_refused_and_not_a_crash() {
    let mut image = File::built("netdma");
    image.bytes.truncate(0x100);
    for (name, rule) in RULES {
        assert!(rule(&image).is_err(), "{name}");
    }
}

#[test]
fn the_checksum_of_a_known_file_is_computed() {
    // Four words 1, 2, (checksum), 3: their sum and the length.
    let bytes = [1, 0, 2, 0, 0xAA, 0xAA, 0xAA, 0xAA, 3, 0];
    assert_eq!(computed_checksum(&bytes, 4), 1 + 2 + 3 + 10);
    // A sum above 16 bits folds.
    assert_eq!(computed_checksum(&[0xFF, 0xFF, 2, 0, 0, 0, 0, 0], 4), 2 + 8);
}
