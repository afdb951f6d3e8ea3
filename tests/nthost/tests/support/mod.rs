//! Tiny driver images made by hand: real PE32+ files, a few instructions each.
#![allow(dead_code)] // each test binary uses its part

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use nthost::loader::ImageSource;

/// Where the sections lie in memory; each is at most a page.
pub const TEXT: u32 = 0x1000;
pub const RDATA: u32 = 0x2000;
pub const DATA: u32 = 0x3000;
pub const RELOC: u32 = 0x4000;
const IMAGE_SIZE: u32 = 0x5000;
const HEADERS: u32 = 0x400;
const PREFERRED_BASE: u64 = 0x1_4000_0000;

/// An image to be.
#[derive(Debug, Clone, Default)]
pub struct Image {
    pub code: Vec<u8>,
    /// Offset of the entry point in the code.
    pub entry: u32,
    pub data: Vec<u8>,
    /// Modules and what is imported from each; the slots are numbered through.
    pub imports: Vec<(&'static str, Vec<&'static str>)>,
    /// Exported names and offsets in the code.
    pub exports: Vec<(&'static str, u32)>,
    /// Offsets in the data of absolute addresses: each is an offset from the image's base before relocation.
    pub relocations: Vec<u32>,
}

/// Instructions, put together by hand.
#[derive(Debug, Clone, Default)]
pub struct Code(pub Vec<u8>);

impl Code {
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// `call [rip + import slot]` with 32 bytes of home space and an aligned stack.
    pub fn call_import(self, slot: u32) -> Self {
        let mut code = self.raw(&[0x48, 0x83, 0xEC, 0x28, 0xFF, 0x15]);
        let next = TEXT + code.0.len() as u32 + 4;
        code.0.extend((RDATA + slot * 8).wrapping_sub(next).to_le_bytes());
        code.raw(&[0x48, 0x83, 0xC4, 0x28])
    }

    /// `lea rcx, [data + offset]`
    pub fn lea_rcx_data(self, offset: u32) -> Self {
        let mut code = self.raw(&[0x48, 0x8D, 0x0D]);
        let next = TEXT + code.0.len() as u32 + 4;
        code.0.extend((DATA + offset).wrapping_sub(next).to_le_bytes());
        code
    }

    pub fn mov_ecx(self, value: u32) -> Self {
        self.raw(&[0xB9]).raw(&value.to_le_bytes())
    }

    pub fn mov_edx(self, value: u32) -> Self {
        self.raw(&[0xBA]).raw(&value.to_le_bytes())
    }

    pub fn mov_r8d(self, value: u32) -> Self {
        self.raw(&[0x41, 0xB8]).raw(&value.to_le_bytes())
    }

    pub fn mov_eax(self, value: u32) -> Self {
        self.raw(&[0xB8]).raw(&value.to_le_bytes())
    }

    pub fn mov_rcx(self, value: u64) -> Self {
        self.raw(&[0x48, 0xB9]).raw(&value.to_le_bytes())
    }

    pub fn ret(self) -> Self {
        self.raw(&[0xC3])
    }

    pub fn here(&self) -> u32 {
        self.0.len() as u32
    }
}

impl Image {
    pub fn code(code: Code) -> Self {
        Self { code: code.0, ..Self::default() }
    }

    pub fn import(mut self, module: &'static str, functions: &[&'static str]) -> Self {
        self.imports.push((module, functions.to_vec()));
        self
    }

    /// The bytes of the file.
    pub fn build(&self) -> Vec<u8> {
        let (rdata, import_directory, export_directory) = self.read_only_data();
        let mut data = self.data.clone();
        for &offset in &self.relocations {
            let at = offset as usize;
            let value = u64::from_le_bytes(data[at..at + 8].try_into().expect("eight bytes"));
            data[at..at + 8].copy_from_slice(&(value + PREFERRED_BASE).to_le_bytes());
        }
        let mut reloc = Vec::new();
        if !self.relocations.is_empty() {
            reloc.extend(DATA.to_le_bytes());
            let entries = self.relocations.len().next_multiple_of(2);
            reloc.extend((8 + entries as u32 * 2).to_le_bytes());
            reloc.extend(self.relocations.iter().flat_map(|offset| (0xA000 | *offset as u16).to_le_bytes()));
            reloc.resize(8 + entries * 2, 0);
        }
        let sections = [
            (*b".text\0\0\0", TEXT, &self.code, 0x6000_0020u32),
            (*b".rdata\0\0", RDATA, &rdata, 0x4000_0040),
            (*b".data\0\0\0", DATA, &data, 0xC000_0040),
            (*b".reloc\0\0", RELOC, &reloc, 0x4200_0040),
        ];
        let mut file = vec![0; HEADERS as usize];
        let mut headers = Vec::new();
        headers.extend(b"MZ");
        headers.resize(0x3C, 0);
        headers.extend(0x40u32.to_le_bytes());
        headers.extend(b"PE\0\0");
        // File header: machine, sections, stamp, symbols, optional header size, characteristics.
        headers.extend(0x8664u16.to_le_bytes());
        headers.extend((sections.len() as u16).to_le_bytes());
        headers.extend([0; 12]);
        headers.extend(240u16.to_le_bytes());
        headers.extend(0x22u16.to_le_bytes());
        let optional = headers.len();
        headers.resize(optional + 240, 0);
        let mut put = |at: usize, bytes: &[u8]| {
            headers[optional + at..optional + at + bytes.len()].copy_from_slice(bytes)
        };
        put(0, &0x20Bu16.to_le_bytes());
        put(16, &(TEXT + self.entry).to_le_bytes());
        put(24, &PREFERRED_BASE.to_le_bytes());
        put(32, &0x1000u32.to_le_bytes());
        put(36, &0x200u32.to_le_bytes());
        put(56, &IMAGE_SIZE.to_le_bytes());
        put(60, &HEADERS.to_le_bytes());
        put(68, &1u16.to_le_bytes());
        put(108, &16u32.to_le_bytes());
        for (index, (address, size)) in [
            (0, export_directory),
            (1, import_directory),
            (5, (if reloc.is_empty() { 0 } else { RELOC }, reloc.len() as u32)),
        ] {
            put(112 + index * 8, &address.to_le_bytes());
            put(116 + index * 8, &size.to_le_bytes());
        }
        for (name, address, bytes, characteristics) in sections {
            let raw = file.len() as u32;
            let length = bytes.len().next_multiple_of(0x200);
            headers.extend(name);
            for word in [bytes.len().max(1) as u32, address, length as u32, raw, 0, 0, 0, characteristics] {
                headers.extend(word.to_le_bytes());
            }
            file.extend(bytes);
            file.resize(raw as usize + length, 0);
        }
        file[..headers.len()].copy_from_slice(&headers);
        set_checksum(&mut file);
        file
    }

    /// The section with import slots, names and exports; and the two directories.
    fn read_only_data(&self) -> (Vec<u8>, (u32, u32), (u32, u32)) {
        let slots: usize = self.imports.iter().map(|(_, functions)| functions.len() + 1).sum();
        let mut out = vec![0; slots * 8];
        let descriptors = out.len();
        out.resize(descriptors + (self.imports.len() + 1) * 20, 0);
        let mut slot = 0;
        for (index, (module, functions)) in self.imports.iter().enumerate() {
            let first = slot;
            for function in functions {
                let name = RDATA as u64 + out.len() as u64;
                out.extend([0, 0]);
                out.extend(function.bytes());
                out.push(0);
                out[slot * 8..slot * 8 + 8].copy_from_slice(&name.to_le_bytes());
                slot += 1;
            }
            slot += 1;
            let module_name = RDATA + out.len() as u32;
            out.extend(module.bytes());
            out.push(0);
            let at = descriptors + index * 20;
            out[at + 12..at + 16].copy_from_slice(&module_name.to_le_bytes());
            out[at + 16..at + 20].copy_from_slice(&(RDATA + first as u32 * 8).to_le_bytes());
        }
        let imports = if self.imports.is_empty() { (0, 0) } else { (RDATA + descriptors as u32, 20) };
        if self.exports.is_empty() {
            return (out, imports, (0, 0));
        }
        out.resize(out.len().next_multiple_of(4), 0);
        let start = out.len();
        let count = self.exports.len();
        let (functions, names, ordinals) = (start + 40, start + 40 + count * 4, start + 40 + count * 8);
        out.resize(ordinals + count * 2, 0);
        for (at, value) in [(20, count), (24, count)] {
            out[start + at..start + at + 4].copy_from_slice(&(value as u32).to_le_bytes());
        }
        for (at, value) in [(28, functions), (32, names), (36, ordinals)] {
            out[start + at..start + at + 4].copy_from_slice(&(RDATA + value as u32).to_le_bytes());
        }
        for (index, (name, offset)) in self.exports.iter().enumerate() {
            let text = RDATA + out.len() as u32;
            out.extend(name.bytes());
            out.push(0);
            out[functions + index * 4..functions + index * 4 + 4]
                .copy_from_slice(&(TEXT + offset).to_le_bytes());
            out[names + index * 4..names + index * 4 + 4].copy_from_slice(&text.to_le_bytes());
            out[ordinals + index * 2..ordinals + index * 2 + 2]
                .copy_from_slice(&(index as u16).to_le_bytes());
        }
        let exports = (RDATA + start as u32, (out.len() - start) as u32);
        (out, imports, exports)
    }
}

/// Where the checksum is in files that `build` makes.
pub const CHECKSUM: usize = 0x58 + 64;

/// Writes the right checksum into a file.
pub fn set_checksum(file: &mut [u8]) {
    file[CHECKSUM..CHECKSUM + 4].fill(0);
    let words =
        file.chunks(2).map(|pair| u64::from(pair[0]) | u64::from(pair.get(1).copied().unwrap_or(0)) << 8);
    let mut sum: u64 = words.sum();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    let length = file.len() as u32;
    file[CHECKSUM..CHECKSUM + 4].copy_from_slice(&(sum as u32 + length).to_le_bytes());
}

/// Files by name, all in one folder.
#[derive(Debug, Default)]
pub struct Folder(pub BTreeMap<String, Vec<u8>>);

impl Folder {
    pub fn with(mut self, name: &str, image: &Image) -> Self {
        self.0.insert(name.to_owned(), image.build());
        self
    }
}

impl ImageSource for Folder {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let name = path.to_string_lossy();
        self.0.get(name.as_ref()).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn find_import(&self, _importer: &Path, name: &str) -> Option<PathBuf> {
        self.0.contains_key(name).then(|| PathBuf::from(name))
    }

    fn registry_path(&self, image: &Path) -> String {
        format!("\\Registry\\Machine\\System\\CurrentControlSet\\Services\\{}", image.display())
    }
}
