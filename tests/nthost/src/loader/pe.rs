//! Reads a driver image (PE32+), and says clearly what is wrong with a bad one.
//!
//! Formats and checks: Learn, "PE Format".

use std::fmt;

/// Why a file is no loadable driver image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Malformed {
    /// It ends before a structure that its headers promise.
    Truncated {
        /// The structure.
        what: &'static str,
    },
    /// It does not start with the DOS and PE signatures.
    NotAnImage,
    /// It is for another processor.
    Machine(u16),
    /// It is not PE32+.
    Magic(u16),
    /// It is for another subsystem than native.
    Subsystem(u16),
    /// Its relocations were stripped, so it runs at one address only.
    NoRelocations,
    /// The checksum in its header is not that of its bytes.
    Checksum {
        /// In the header.
        stated: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// A field has a value that cannot be.
    Invalid {
        /// The field.
        what: &'static str,
        /// Its value.
        value: u64,
    },
    /// A section may be both written and executed.
    WritableCode(String),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { what } => {
                write!(f, "the file ends inside its {what}; it is damaged or incomplete")
            }
            Self::NotAnImage => f.write_str("not an executable image (no MZ or PE signature)"),
            Self::Machine(machine) => {
                write!(f, "built for machine type {machine:#06x}; this machine runs x64 (0x8664)")
            }
            Self::Magic(magic) => {
                write!(f, "optional header magic {magic:#x}; a driver for x64 is PE32+ (0x20b)")
            }
            Self::Subsystem(subsystem) => {
                write!(f, "subsystem {subsystem}; a driver is native (1): link with /SUBSYSTEM:NATIVE")
            }
            Self::NoRelocations => f.write_str("its relocations are stripped; link with /DYNAMICBASE"),
            Self::Checksum { stated, computed } => {
                write!(
                    f,
                    "checksum {stated:#x} in its header, {computed:#x} over its bytes; it is damaged, or was not linked with /RELEASE"
                )
            }
            Self::Invalid { what, value } => {
                write!(f, "{what} is {value:#x}, which cannot be; it is damaged")
            }
            Self::WritableCode(section) => write!(f, "section {section} may be written and executed"),
        }
    }
}

impl std::error::Error for Malformed {}

/// One section.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    pub address: u32,
    pub size: u32,
    pub raw: std::ops::Range<usize>,
    pub executable: bool,
    pub writable: bool,
}

/// One import: from which module, what, and where its address goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    pub module: String,
    pub function: String,
    pub slot: u32,
}

/// What a driver image's headers say.
#[derive(Debug, Clone)]
pub(crate) struct Pe {
    pub preferred_base: u64,
    pub image_size: u32,
    pub headers_size: u32,
    pub entry_point: u32,
    pub sections: Vec<Section>,
    pub directories: Vec<(u32, u32)>,
}

const DIRECTORY_EXPORT: usize = 0;
const DIRECTORY_IMPORT: usize = 1;
const DIRECTORY_EXCEPTION: usize = 3;
const DIRECTORY_RELOCATION: usize = 5;

/// Little-endian reads that fail instead of panicking.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    fn slice(self, offset: usize, length: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let end = offset.checked_add(length).ok_or(Malformed::Truncated { what })?;
        self.0.get(offset..end).ok_or(Malformed::Truncated { what })
    }

    pub(crate) fn u16(self, offset: usize, what: &'static str) -> Result<u16, Malformed> {
        let bytes = self.slice(offset, 2, what)?;
        Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    pub(crate) fn u32(self, offset: usize, what: &'static str) -> Result<u32, Malformed> {
        let bytes = self.slice(offset, 4, what)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    pub(crate) fn u64(self, offset: usize, what: &'static str) -> Result<u64, Malformed> {
        Ok(u64::from(self.u32(offset, what)?) | u64::from(self.u32(offset + 4, what)?) << 32)
    }

    fn text(self, offset: usize, what: &'static str) -> Result<String, Malformed> {
        let rest = self.0.get(offset..).ok_or(Malformed::Truncated { what })?;
        let length = rest.iter().position(|&byte| byte == 0).ok_or(Malformed::Truncated { what })?;
        Ok(String::from_utf8_lossy(&rest[..length]).into_owned())
    }
}

impl Pe {
    /// Parses and checks the headers of a file.
    pub(crate) fn parse(file: &[u8]) -> Result<Self, Malformed> {
        const DOS: &str = "DOS header";
        const COFF: &str = "file header";
        const OPTIONAL: &str = "optional header";
        let r = Reader(file);
        if file.get(..2) != Some(b"MZ") {
            return Err(Malformed::NotAnImage);
        }
        let pe = r.u32(0x3C, DOS)? as usize;
        if r.slice(pe, 4, "PE signature")? != b"PE\0\0" {
            return Err(Malformed::NotAnImage);
        }
        let coff = pe + 4;
        let machine = r.u16(coff, COFF)?;
        if machine != 0x8664 {
            return Err(Malformed::Machine(machine));
        }
        let section_count = usize::from(r.u16(coff + 2, COFF)?);
        let optional_size = usize::from(r.u16(coff + 16, COFF)?);
        let characteristics = r.u16(coff + 18, COFF)?;
        let optional = coff + 20;
        let magic = r.u16(optional, OPTIONAL)?;
        if magic != 0x20B {
            return Err(Malformed::Magic(magic));
        }
        let subsystem = r.u16(optional + 68, OPTIONAL)?;
        if subsystem != 1 {
            return Err(Malformed::Subsystem(subsystem));
        }
        if characteristics & 1 != 0 {
            return Err(Malformed::NoRelocations);
        }
        let stated = r.u32(optional + 64, OPTIONAL)?;
        let computed = checksum(file, optional + 64);
        if stated != computed {
            return Err(Malformed::Checksum { stated, computed });
        }
        let directory_count = r.u32(optional + 108, OPTIONAL)?.min(16) as usize;
        let directories = (0..directory_count)
            .map(|index| {
                let at = optional + 112 + index * 8;
                Ok((r.u32(at, "data directories")?, r.u32(at + 4, "data directories")?))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let image_size = r.u32(optional + 56, OPTIONAL)?;
        let headers_size = r.u32(optional + 60, OPTIONAL)?;
        let entry_point = r.u32(optional + 16, OPTIONAL)?;
        if image_size == 0 || image_size > 256 << 20 {
            return Err(Malformed::Invalid { what: "SizeOfImage", value: image_size.into() });
        }
        if headers_size > image_size || headers_size as usize > file.len() {
            return Err(Malformed::Invalid { what: "SizeOfHeaders", value: headers_size.into() });
        }
        if entry_point >= image_size {
            return Err(Malformed::Invalid { what: "AddressOfEntryPoint", value: entry_point.into() });
        }
        let sections = (0..section_count)
            .map(|index| section(r, optional + optional_size + index * 40, image_size))
            .collect::<Result<Vec<_>, _>>()?;
        let mut end = headers_size;
        for section in &sections {
            if section.address < end || section.address % 4096 != 0 {
                return Err(Malformed::Invalid {
                    what: "a section's VirtualAddress",
                    value: section.address.into(),
                });
            }
            end = section.address + section.size;
        }
        let preferred_base = r.u64(optional + 24, OPTIONAL)?;
        Ok(Self { preferred_base, image_size, headers_size, entry_point, sections, directories })
    }

    /// The image as it lies in memory, before relocation.
    pub(crate) fn lay_out(&self, file: &[u8]) -> Vec<u8> {
        let mut image = vec![0; self.image_size as usize];
        let headers = self.headers_size as usize;
        image[..headers].copy_from_slice(&file[..headers]);
        for section in &self.sections {
            let raw = &file[section.raw.clone()];
            let length = raw.len().min(section.size as usize);
            let start = section.address as usize;
            image[start..start + length].copy_from_slice(&raw[..length]);
        }
        image
    }

    fn directory(&self, index: usize) -> Option<(usize, usize)> {
        let &(address, size) = self.directories.get(index)?;
        (address != 0 && size != 0).then_some((address as usize, size as usize))
    }

    /// Applies the base relocations for `base` to the laid out image.
    pub(crate) fn relocate(&self, image: &mut [u8], base: u64) -> Result<(), Malformed> {
        const WHAT: &str = "base relocations";
        let delta = base.wrapping_sub(self.preferred_base);
        let Some((start, size)) = self.directory(DIRECTORY_RELOCATION) else {
            // An image without absolute addresses needs none; the linker then writes an empty table or leaves it out.
            return Ok(());
        };
        let mut at = start;
        while at + 8 <= start + size {
            let page = Reader(image).u32(at, WHAT)? as usize;
            let length = Reader(image).u32(at + 4, WHAT)? as usize;
            if length < 8 || at + length > start + size {
                return Err(Malformed::Invalid { what: "a relocation block's size", value: length as u64 });
            }
            for entry in (at + 8..at + length - 1).step_by(2) {
                let entry = Reader(image).u16(entry, WHAT)?;
                match entry >> 12 {
                    0 => {}
                    10 => {
                        let place = page + usize::from(entry & 0xFFF);
                        let value = Reader(image).u64(place, WHAT)?.wrapping_add(delta);
                        image[place..place + 8].copy_from_slice(&value.to_le_bytes());
                    }
                    kind => {
                        return Err(Malformed::Invalid { what: "a relocation's type", value: kind.into() });
                    }
                }
            }
            at += length;
        }
        Ok(())
    }

    /// The imports of the laid out image.
    pub(crate) fn imports(&self, image: &[u8]) -> Result<Vec<Import>, Malformed> {
        const WHAT: &str = "imports";
        let r = Reader(image);
        let mut imports = Vec::new();
        let Some((start, _)) = self.directory(DIRECTORY_IMPORT) else { return Ok(imports) };
        for descriptor in (start..).step_by(20) {
            let names = r.u32(descriptor, WHAT)? as usize;
            let module = r.u32(descriptor + 12, WHAT)? as usize;
            let slots = r.u32(descriptor + 16, WHAT)?;
            if module == 0 {
                break;
            }
            let module = r.text(module, WHAT)?;
            let names = if names == 0 { slots as usize } else { names };
            for index in 0.. {
                let name = r.u64(names + index * 8, WHAT)?;
                if name == 0 {
                    break;
                }
                let function = if name >> 63 == 1 {
                    format!("#{}", name & 0xFFFF)
                } else {
                    r.text((name & 0x7FFF_FFFF) as usize + 2, WHAT)?
                };
                let slot = slots + index as u32 * 8;
                r.u64(slot as usize, WHAT)?;
                imports.push(Import { module: module.clone(), function, slot });
            }
        }
        Ok(imports)
    }

    /// The exports of the laid out image: name and offset. Forwarders are not used by drivers and are refused.
    pub(crate) fn exports(&self, image: &[u8]) -> Result<Vec<(String, u32)>, Malformed> {
        const WHAT: &str = "exports";
        let r = Reader(image);
        let Some((start, size)) = self.directory(DIRECTORY_EXPORT) else { return Ok(Vec::new()) };
        let [names_count, functions, names, ordinals] = {
            let field = |offset| r.u32(start + offset, WHAT).map(|value| value as usize);
            [field(24)?, field(28)?, field(32)?, field(36)?]
        };
        (0..names_count)
            .map(|index| {
                let name = r.text(r.u32(names + index * 4, WHAT)? as usize, WHAT)?;
                let ordinal = usize::from(r.u16(ordinals + index * 2, WHAT)?);
                let function = r.u32(functions + ordinal * 4, WHAT)?;
                if function >= self.image_size || (start..start + size).contains(&(function as usize)) {
                    return Err(Malformed::Invalid { what: "an export's address", value: function.into() });
                }
                Ok((name, function))
            })
            .collect()
    }

    /// The function table for stack walks: offset and size.
    pub(crate) fn function_table(&self) -> Option<(usize, usize)> {
        self.directory(DIRECTORY_EXCEPTION)
    }
}

fn section(r: Reader<'_>, at: usize, image_size: u32) -> Result<Section, Malformed> {
    const WHAT: &str = "section table";
    let name = r.slice(at, 8, WHAT)?;
    let name = String::from_utf8_lossy(name).trim_end_matches('\0').to_owned();
    let [virtual_size, address, raw_size, raw_start] = {
        let field = |offset| r.u32(at + offset, WHAT);
        [field(8)?, field(12)?, field(16)?, field(20)?]
    };
    let characteristics = r.u32(at + 36, WHAT)?;
    let (executable, writable) = (characteristics & 0x2000_0000 != 0, characteristics & 0x8000_0000 != 0);
    if executable && writable {
        return Err(Malformed::WritableCode(name));
    }
    let size = if virtual_size == 0 { raw_size } else { virtual_size };
    if address.checked_add(size).is_none_or(|end| end > image_size) {
        return Err(Malformed::Invalid { what: "a section's VirtualSize", value: size.into() });
    }
    r.slice(raw_start as usize, raw_size as usize, "sections")?;
    let raw = raw_start as usize..raw_start as usize + raw_size as usize;
    Ok(Section { address, size, raw, executable, writable })
}

/// The checksum of an image file: 16-bit words added with carry, without the checksum itself, plus the length.
pub(crate) fn checksum(file: &[u8], field: usize) -> u32 {
    let mut sum: u32 = 0;
    for (index, pair) in file.chunks(2).enumerate() {
        let at = index * 2;
        if at == field || at == field + 2 {
            continue;
        }
        sum += u32::from(pair[0]) | u32::from(pair.get(1).copied().unwrap_or(0)) << 8;
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    (sum & 0xFFFF) + (sum >> 16) + file.len() as u32
}
