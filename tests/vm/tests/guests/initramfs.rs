//! The guest's files as a cpio archive ("newc"), which a kernel unpacks into its first root folder.

use std::{collections::BTreeSet, fs, path::Path};

/// An archive being written.
#[derive(Default)]
pub struct Initramfs {
    bytes: Vec<u8>,
    folders: BTreeSet<String>,
    count: u32,
}

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;
const CONSOLE: u32 = 0o020_600;

impl Initramfs {
    /// An archive with the folders and the console that every guest needs.
    pub fn new() -> Self {
        let mut archive = Self::default();
        // The root folder itself: the kernel's own is writable for everybody, which DPDK refuses.
        for folder in [".", "bin", "dev", "lib", "proc", "sys", "tmp"] {
            archive.folder(folder);
        }
        archive.entry("dev/console", CONSOLE, &[], (5, 1));
        archive
    }

    /// Adds a file with these bytes, and the folders above it.
    pub fn file(&mut self, name: &str, bytes: &[u8]) {
        self.parents(name);
        self.entry(name, PROGRAM, bytes, (0, 0));
    }

    /// Adds the file at `path` under `name`.
    pub fn copy(&mut self, name: &str, path: &Path) -> Result<(), String> {
        let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        self.file(name, &bytes);
        Ok(())
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, name: &str, target: &str) {
        self.parents(name);
        self.entry(name, LINK, target.as_bytes(), (0, 0));
    }

    /// The finished archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[], (0, 0));
        self.bytes
    }

    fn parents(&mut self, name: &str) {
        for (end, _) in name.match_indices('/') {
            self.folder(&name[..end]);
        }
    }

    fn folder(&mut self, name: &str) {
        if self.folders.insert(name.into()) {
            self.entry(name, FOLDER, &[], (0, 0));
        }
    }

    fn entry(&mut self, name: &str, mode: u32, body: &[u8], device: (u32, u32)) {
        self.count += 1;
        let fields = [
            self.count,
            mode,
            0, // user
            0, // group
            1, // links
            0, // time
            body.len() as u32,
            0,
            0,
            device.0,
            device.1,
            name.len() as u32 + 1,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(body);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
