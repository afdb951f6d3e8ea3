//! Rules for the headers, sections and exports of a driver image.

use object::LittleEndian as LE;
use object::pe;
use object::read::pe::{ImageNtHeaders as _, ImageOptionalHeader as _};

use crate::file::{File, Headers};
use crate::symbols::Symbols;

/// What a rule says: nothing, or what is wrong.
pub type Verdict = Result<(), String>;

/// A rule.
pub type Rule = fn(&File) -> Verdict;

/// The rules that hold for every image, by name.
pub const RULES: &[(&str, Rule)] = &[
    ("machine", machine),
    ("subsystem", subsystem),
    ("entry point", entry_point),
    ("checksum", checksum),
    ("DLL characteristics", dll_characteristics),
    ("sections", sections),
    ("relocations", relocations),
    ("nothing unwanted", nothing_unwanted),
];

/// The names netdma.sys exports: docs/spec/netdma.md, 2.11 (to providers) and 5.4 (to clients), and the two of an
/// export driver (D1 of docs/architecture.md).
pub const INTERFACE: &[&str] = &[
    "NetDmaRegisterProvider",
    "NetDmaDeregisterProvider",
    "NetDmaProviderStart",
    "NetDmaProviderStop",
    "NetDmaIsr",
    "NetDmaInterruptDpc",
    "NetDmaGetVersion",
    "NetDmaPnPEventNotify",
    "NetDmaRegisterClient",
    "NetDmaDeregisterClient",
    "NetDmaEnumerateDmaProviders",
    "NetDmaAllocateChannel",
    "NetDmaFreeChannel",
    "NetDmaChainCopyVirtualToVirtual",
    "NetDmaChainCopyPhysicalToVirtual",
    "NetDmaNullTransfer",
    "NetDmaIsDmaCopyComplete",
    "NetDmaFlushPendingDescriptors",
    "NetDmaGetMaxPendingDescriptors",
    "NetDmaSetMaxPendingDescriptors",
    "NetDmaPrefetchNextDescriptor",
    "NetDmaSubmitDescriptorList",
    "NetDmaSuspendChannel",
    "NetDmaResumeChannel",
    "NetDmaAbortChannel",
    "NetDmaResetChannel",
    "NetDmaQueryStatistics",
    "DllInitialize",
    "DllUnload",
];

/// Exported by every driver in Rust: the entry stub finds `DriverEntry` by its linker name, and a function with a
/// linker name is exported from a cdylib (rust-lang/rust issue 67399; wdk-build silences the linker's remark on it).
const FORCED: &[&str] = &["DriverEntry"];

fn machine(image: &File) -> Verdict {
    let found = image.headers()?.nt.file_header().machine.get(LE);
    expect("machine", found, pe::IMAGE_FILE_MACHINE_AMD64)
}

fn subsystem(image: &File) -> Verdict {
    let headers = image.headers()?;
    expect("subsystem", headers.nt.optional_header().subsystem(), pe::IMAGE_SUBSYSTEM_NATIVE)
}

/// The entry point is the framework's stub, not the driver's own entry: else KMDF is never bound.
fn entry_point(image: &File) -> Verdict {
    let symbols = Symbols::of(image)?;
    let names = symbols.at(image.headers()?.entry());
    if names.contains(&"FxDriverEntry") {
        Ok(())
    } else {
        Err(format!("entry point is {names:?}, not FxDriverEntry"))
    }
}

/// The kernel refuses a driver whose checksum is wrong (Learn: "/RELEASE (Set the Checksum)").
fn checksum(image: &File) -> Verdict {
    let headers = image.headers()?;
    let found = headers.nt.optional_header().check_sum();
    expect("checksum", found, computed_checksum(&image.bytes, headers.checksum_at))
}

/// The sum of all 16-bit words but the checksum itself, folded to 16 bits, plus the file's length (imagehlp's
/// CheckSumMappedFile).
pub fn computed_checksum(bytes: &[u8], checksum_at: usize) -> u32 {
    let mut sum: u32 = 0;
    for (index, pair) in bytes.chunks(2).enumerate() {
        if (checksum_at..checksum_at + 4).contains(&(index * 2)) {
            continue;
        }
        sum += u32::from(u16::from_le_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    sum + bytes.len() as u32
}

/// No execution of data, loadable anywhere, loaded only when signed.
fn dll_characteristics(image: &File) -> Verdict {
    let found = image.headers()?.nt.optional_header().dll_characteristics();
    for (bit, name) in [
        (pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT, "NX_COMPAT"),
        (pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE, "DYNAMIC_BASE"),
        (pe::IMAGE_DLLCHARACTERISTICS_HIGH_ENTROPY_VA, "HIGH_ENTROPY_VA"),
        (pe::IMAGE_DLLCHARACTERISTICS_FORCE_INTEGRITY, "FORCE_INTEGRITY"),
    ] {
        if found & bit == 0 {
            return Err(format!("{name} is not set in {found:#06x}"));
        }
    }
    // A set bit without a load configuration promises tables that are not there.
    expect("GUARD_CF", found & pe::IMAGE_DLLCHARACTERISTICS_GUARD_CF, 0)
}

/// No section is both writable and executable; the entry point is in an executable one.
fn sections(image: &File) -> Verdict {
    let headers = image.headers()?;
    let mut entered = false;
    for section in headers.sections.iter() {
        let flags = section.characteristics.get(LE);
        let executable = flags & pe::IMAGE_SCN_MEM_EXECUTE != 0;
        if executable && flags & pe::IMAGE_SCN_MEM_WRITE != 0 {
            return Err(format!("{} is writable and executable", Headers::section_name(section)));
        }
        let start = section.virtual_address.get(LE);
        let range = start..start.saturating_add(section.virtual_size.get(LE));
        entered |= executable && range.contains(&headers.entry());
    }
    if entered { Ok(()) } else { Err("the entry point is in no executable section".to_owned()) }
}

/// The image can be loaded away from its preferred base, and says where it must be adjusted.
fn relocations(image: &File) -> Verdict {
    let headers = image.headers()?;
    if headers.nt.file_header().characteristics.get(LE) & pe::IMAGE_FILE_RELOCS_STRIPPED != 0 {
        return Err("relocations are stripped".to_owned());
    }
    let mut blocks = headers
        .directories
        .relocation_blocks(image.bytes.as_slice(), &headers.sections)
        .map_err(|error| error.to_string())?
        .ok_or("no relocation directory")?;
    let mut count = 0;
    while let Some(block) = blocks.next().map_err(|error| error.to_string())? {
        for relocation in block {
            if relocation.typ != pe::IMAGE_REL_BASED_DIR64 {
                return Err(format!(
                    "relocation of type {} at {:#x}",
                    relocation.typ, relocation.virtual_address
                ));
            }
            count += 1;
        }
    }
    if count == 0 { Err("the relocation directory is empty".to_owned()) } else { Ok(()) }
}

/// What a driver has no use for: thread-local storage, managed code, bound or delayed imports.
fn nothing_unwanted(image: &File) -> Verdict {
    let headers = image.headers()?;
    for (index, name) in [
        (pe::IMAGE_DIRECTORY_ENTRY_TLS, "thread-local storage"),
        (pe::IMAGE_DIRECTORY_ENTRY_COM_DESCRIPTOR, "managed code"),
        (pe::IMAGE_DIRECTORY_ENTRY_BOUND_IMPORT, "bound imports"),
        (pe::IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT, "delayed imports"),
    ] {
        if headers.directory(index as u16).is_some() {
            return Err(format!("the image has {name}"));
        }
    }
    Ok(())
}

/// The image exports `wanted` by name, what the language forces on it, and nothing else.
pub fn exports_are(image: &File, wanted: &[&str]) -> Verdict {
    let headers = image.headers()?;
    let table = headers
        .directories
        .export_table(image.bytes.as_slice(), &headers.sections)
        .map_err(|error| error.to_string())?
        .ok_or("no export directory")?;
    let mut found = Vec::new();
    for export in table.exports().map_err(|error| error.to_string())? {
        let name = export.name.ok_or_else(|| format!("export {} has no name", export.ordinal))?;
        if !matches!(export.target, object::read::pe::ExportTarget::Address(_)) {
            return Err(format!("{} is forwarded", String::from_utf8_lossy(name)));
        }
        found.push(String::from_utf8_lossy(name).into_owned());
    }
    let wanted: Vec<&str> = wanted.iter().chain(FORCED).copied().collect();
    let extra: Vec<&String> = found.iter().filter(|name| !wanted.contains(&name.as_str())).collect();
    let missing: Vec<&str> =
        wanted.iter().copied().filter(|name| !found.iter().any(|given| given == name)).collect();
    if extra.is_empty() && missing.is_empty() {
        Ok(())
    } else {
        Err(format!("exports too much: {extra:?}, too little: {missing:?}"))
    }
}

fn expect<T: PartialEq + std::fmt::LowerHex>(what: &str, found: T, wanted: T) -> Verdict {
    if found == wanted { Ok(()) } else { Err(format!("{what} is {found:#x}, not {wanted:#x}")) }
}
