//! Packages that cannot work: each gets one clear error that names what is wrong.

#![forbid(unsafe_code)]

use machine::lab::{Failure, Lab, Setup, source};
use nthost::install::Source;
use nthost::pnp::Problem;
use proof::proves;

/// Installs netdma as built and then `ioatdma` as it is given; says why the engine's device does not work.
fn problem_with(netdma: &Source, ioatdma: &Source) -> Result<String, Failure> {
    let mut lab = Setup::new(1)?.power_on()?;
    lab.install_source(netdma)?;
    lab.install_source(ioatdma)?;
    match lab.engine_device(0)?.problem {
        Some(Problem::FailedLoad(why)) => unloads(lab).map(|()| why),
        other => Err(Failure::Other(format!("the driver was not refused: {other:?}"))),
    }
}

/// What could not be loaded leaves nothing behind.
fn unloads(lab: Lab) -> Result<(), Failure> {
    let leaks = lab.shut_down()?;
    assert!(leaks.is_empty(), "{leaks:?}");
    Ok(())
}

/// The package with its image changed.
fn with_image(name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Result<Source, Failure> {
    let mut package = source(name)?;
    change(package.files.entry(format!("{name}.sys")).or_default());
    Ok(package)
}

/// Offset of the PE header (PE format, "MS-DOS Stub": the word at 0x3C).
fn pe_header(image: &[u8]) -> usize {
    let word = image.get(0x3C..0x40).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
    word.expect("an image") as usize
}

/// Replaces every `from` by `to`, which is as long.
fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> =
        (0..=bytes.len() - from.len()).filter(|&at| bytes[at..].starts_with(from)).collect();
    assert!(!places.is_empty(), "nothing to replace");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
}

/// Writes the checksum that the changed image must state: its 16-bit words added with carry, without the field itself,
/// plus its length (PE format, "CheckSum" of the optional header, at offset 64 behind the 24 bytes of the header before).
fn reseal(image: &mut [u8]) {
    let field = pe_header(image) + 24 + 64;
    image[field..field + 4].fill(0);
    let words =
        image.chunks(2).map(|pair| u64::from(pair[0]) | pair.get(1).map_or(0, |&high| u64::from(high) << 8));
    let folded = words.fold(0, |sum, word| {
        let sum = sum + word;
        (sum & 0xFFFF) + (sum >> 16)
    });
    let checksum = folded as u32 + image.len() as u32;
    image[field..field + 4].copy_from_slice(&checksum.to_le_bytes());
}

#[test]
fn an_unknown_import_is_named() -> Result<(), Failure> {
    let broken = with_image("ioatdma", |image| {
        replace(image, b"NetDmaProviderStop\0", b"NetDmaProviderStox\0");
        reseal(image);
    })?;
    let why = problem_with(&source("netdma")?, &broken)?;
    assert!(why.contains("NetDmaProviderStox") && why.contains("netdma.sys"), "{why}");
    Ok(())
}

#[test]
fn an_import_that_lies_in_the_wrong_folder_is_not_found_and_its_place_is_told() -> Result<(), Failure> {
    let mut netdma = source("netdma")?;
    let inf = netdma.files.get_mut("netdma.inf").expect("the INF");
    let text = String::from_utf8(inf.clone()).expect("an INF in UTF-8");
    // Directory identifier 13, the driver store, in place of 12: what every other driver uses.
    let moved = text.replace("DefaultDestDir = 12", "DefaultDestDir = 13").replace(r"%12%\", r"%13%\");
    assert_ne!(text, moved, "the INF names its folder some other way");
    *inf = moved.into_bytes();
    let why = problem_with(&netdma, &source("ioatdma")?)?;
    proves!(image: R11; assert!(why.contains("netdma.sys") && why.contains("FileRepository"), "{why}"));
    Ok(())
}

#[test]
fn a_corrupt_image_is_refused() -> Result<(), Failure> {
    let broken = with_image("ioatdma", |image| {
        let header = pe_header(image);
        image[header] = b'X';
    })?;
    let why = problem_with(&source("netdma")?, &broken)?;
    assert!(why.contains("ioatdma.sys"), "{why}");

    let damaged = with_image("ioatdma", |image| image[0x1000] ^= 1)?;
    let why = problem_with(&source("netdma")?, &damaged)?;
    assert!(why.contains("ioatdma.sys") && why.contains("checksum"), "{why}");

    let cut = with_image("ioatdma", |image| image.truncate(0x600))?;
    let why = problem_with(&source("netdma")?, &cut)?;
    assert!(why.contains("ioatdma.sys"), "{why}");
    Ok(())
}

#[test]
fn an_image_for_another_machine_type_is_refused_by_name() -> Result<(), Failure> {
    // IMAGE_FILE_MACHINE_ARM64 in the field behind the signature.
    let foreign = with_image("ioatdma", |image| {
        let header = pe_header(image);
        image[header + 4..header + 6].copy_from_slice(&0xAA64u16.to_le_bytes());
    })?;
    let why = problem_with(&source("netdma")?, &foreign)?;
    assert!(why.contains("ioatdma.sys") && why.to_lowercase().contains("0xaa64"), "{why}");
    Ok(())
}

#[test]
fn an_inf_without_a_matching_id_names_what_it_serves_and_what_waits() -> Result<(), Failure> {
    let mut lab = Setup::new(0)?.power_on()?;
    lab.add_client_device()?;
    lab.install("netdma")?;
    let refused = lab.install("ioatdma").expect_err("no engine is plugged in").to_string();
    assert!(refused.contains("ioatdma.inf") && refused.contains(r"PCI\VEN_8086"), "{refused}");
    assert!(refused.to_lowercase().contains("netdmatest"), "{refused}");
    unloads(lab)
}
